//! A request as bytes. Only the framing is added.

/// A request before it is written.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The header fields in order. `content-length` is added to the bytes if it is missing.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// Returns a POST with a JSON body.
    pub fn post(target: &str, authority: &str, body: impl Into<Vec<u8>>) -> Self {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: vec![
                field("host", authority),
                field("content-type", "application/json"),
            ],
            body: body.into(),
        }
    }

    /// Returns the request with a different method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Returns the request with a different target.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// Returns the request with a different body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the request with an additional field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the request without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let is_other = |(field, _): &(String, String)| !field.eq_ignore_ascii_case(name);
        self.headers.retain(is_other);
        self
    }

    /// Returns the request with a different value of a field.
    #[must_use]
    pub fn replacing(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// Returns the first value of a field; empty if the field is missing.
    pub fn value(&self, name: &str) -> &str {
        let is_it = |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        let found = self.headers.iter().find(is_it);
        found.map_or("", |(_, value)| value)
    }

    /// Returns the request line, the fields and the blank line.
    pub fn head(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// Returns the whole request.
    pub fn bytes(&self) -> Vec<u8> {
        let is_framed =
            !self.value("content-length").is_empty() || !self.value("transfer-encoding").is_empty();
        let framed = match is_framed {
            true => self.clone(),
            false => self
                .clone()
                .with("content-length", &self.body.len().to_string()),
        };
        [framed.head(), framed.body].concat()
    }
}
