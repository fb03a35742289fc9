//! Parses the `Authorization` header. It contains no secrets, and this file makes no decisions.

/// The only accepted algorithm.
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The last part of every credential scope.
const TERMINATOR: &str = "aws4_request";

/// A well-formed `Authorization` header. All parts are as received.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Authorization<'a> {
    pub access_key_id: &'a str,
    /// `yyyymmdd`.
    pub date: &'a str,
    pub region: &'a str,
    pub service: &'a str,
    /// `<date>/<region>/<service>/aws4_request`, as in the string to sign.
    pub scope: &'a str,
    /// The lower-case names, sorted and without repetition, joined by `;`.
    pub signed_headers: &'a str,
    pub signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    /// Parses `header`.
    ///
    /// # Errors
    /// Returns the rule that `header` breaks.
    pub(super) fn parse(header: &'a str) -> Result<Self, &'static str> {
        let rest = header
            .strip_prefix(ALGORITHM)
            .ok_or("the algorithm is not AWS4-HMAC-SHA256")?;
        let rest = rest
            .strip_prefix(' ')
            .ok_or("no blank after the algorithm")?;
        let [mut credential, mut signed_headers, mut signature] = [None; 3];
        for part in rest.split(',') {
            let (name, value) = part
                .trim()
                .split_once('=')
                .ok_or("a part is not name=value")?;
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err("a part has an unknown name"),
            };
            if slot.replace(value).is_some() {
                return Err("a part is repeated");
            }
        }
        let credential = credential.ok_or("Credential is missing")?;
        let signed_headers = signed_headers.ok_or("SignedHeaders is missing")?;
        let signature = signature.ok_or("Signature is missing")?;
        check_signed_headers(signed_headers)?;
        Self::from_parts(credential, signed_headers, signature)
    }

    fn from_parts(
        credential: &'a str,
        signed_headers: &'a str,
        signature: &str,
    ) -> Result<Self, &'static str> {
        let malformed = "Credential is not <id>/<date>/<region>/<service>/aws4_request";
        let (access_key_id, scope) = credential.split_once('/').ok_or(malformed)?;
        let mut parts = scope.split('/');
        let mut next = || {
            parts
                .next()
                .filter(|part| !part.is_empty())
                .ok_or(malformed)
        };
        let (date, region, service, terminator) = (next()?, next()?, next()?, next()?);
        if terminator != TERMINATOR || parts.next().is_some() {
            return Err(malformed);
        }
        Ok(Self {
            access_key_id,
            date,
            region,
            service,
            scope,
            signed_headers,
            signature: crate::hex::decode_lower_array(signature)
                .ok_or("Signature is not 64 lower-case hex digits")?,
        })
    }
}

fn check_signed_headers(list: &str) -> Result<(), &'static str> {
    let mut previous = "";
    for name in list.split(';') {
        let is_legal = |b: u8| b.is_ascii_graphic() && !b.is_ascii_uppercase();
        if name.is_empty() || !name.bytes().all(is_legal) {
            return Err("SignedHeaders contains a name that is not lower-case");
        }
        if name <= previous {
            return Err("SignedHeaders is not sorted, or contains a name twice");
        }
        previous = name;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn header(credential: &str, headers: &str, signature: &str, separator: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={credential}{separator}SignedHeaders={headers}{separator}Signature={signature}"
        )
    }

    #[test]
    fn parts_are_separated_with_or_without_blanks() {
        for separator in [", ", ",", ",  "] {
            let text = header(
                "ID/20260101/eu-west-1/svc/aws4_request",
                "host;x-amz-date",
                SIGNATURE,
                separator,
            );
            let parsed = Authorization::parse(&text).unwrap();
            assert_eq!(parsed.access_key_id, "ID");
            assert_eq!(
                (parsed.date, parsed.region, parsed.service),
                ("20260101", "eu-west-1", "svc")
            );
            assert_eq!(parsed.scope, "20260101/eu-west-1/svc/aws4_request");
            assert_eq!(parsed.signature[..3], [0x01, 0x23, 0x45]);
        }
    }

    #[test]
    fn malformed_headers_are_rejected() {
        let good = "ID/20260101/eu-west-1/svc/aws4_request";
        let ok = |c: &str, h: &str, s: &str| Authorization::parse(&header(c, h, s, ", ")).is_ok();
        assert!(ok(good, "host", SIGNATURE));
        for credential in [
            "",
            "ID",
            "ID/20260101/r/s",
            "ID/20260101//s/aws4_request",
            "ID/20260101/r/s/aws4",
            "ID/1/r/s/aws4_request/x",
        ] {
            assert!(!ok(credential, "host", SIGNATURE), "{credential}");
        }
        for headers in ["", "Host", "x;host", "host;host", "host;", ";host", "ho st"] {
            assert!(!ok(good, headers, SIGNATURE), "{headers}");
        }
        for signature in [
            "",
            "0",
            &SIGNATURE.to_uppercase(),
            &SIGNATURE[1..],
            &format!("{SIGNATURE}0"),
            &SIGNATURE.replace('0', "ä"),
        ] {
            assert!(!ok(good, "host", signature), "{signature}");
        }
        let whole = header(good, "host", SIGNATURE, ", ");
        for text in [
            "",
            "Basic x",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 x",
            &format!("{whole}, Extra=1"),
            &format!("{whole}, Signature={SIGNATURE}"),
            &whole.replace("AWS4-", "AWS5-"),
            &whole.replace("Credential=", "credential="),
        ] {
            assert!(Authorization::parse(text).is_err(), "{text}");
        }
    }
}
