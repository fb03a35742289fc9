//! A request as bytes: nothing is normalised, added or repaired but the framing.

/// A request that is still to be written.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// Header fields in order; `content-length` is added when the bytes are made, unless it is there.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A POST with a JSON body.
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

    /// The same with another method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// The same with another target.
    #[must_use]
    pub fn target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// The same with another body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let is_other = |(field, _): &(String, String)| !field.eq_ignore_ascii_case(name);
        self.headers.retain(is_other);
        self
    }

    /// The same with another value for a field.
    #[must_use]
    pub fn replacing(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// The first value of a field; empty if there is none.
    pub fn value(&self, name: &str) -> &str {
        let is_it = |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        let found = self.headers.iter().find(is_it);
        found.map_or("", |(_, value)| value)
    }

    /// Request line, fields and the blank line.
    pub fn head(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// All of it.
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
