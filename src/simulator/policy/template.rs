//! Texts of a policy with wildcards and policy variables.
//!
//! # Invariants
//! - The value of a variable is literal: a star in the value of a tag is not a wildcard.

use std::borrow::Cow;

use super::context_key::Key;
use super::request::Request;

/// A text with wildcards and policy variables.
#[derive(Debug)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Fixed(Vec<Token>),
    Variable { key: Key, default: Option<String> },
}

/// One element of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Byte(u8),
    /// `?`
    One,
    /// `*`
    Any,
}

impl Template {
    /// Parses a text; `*` and `?` are wildcards and `${…}` is a variable if the flags say so.
    pub(super) fn parse(
        text: &str,
        has_wildcards: bool,
        has_variables: bool,
    ) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("${").filter(|_| has_variables) {
            let end = after.split_once('}');
            let (name, after) =
                end.ok_or_else(|| format!("the policy variable in {text} has no end"))?;
            parts.push(Part::Fixed(tokens(before, has_wildcards)));
            parts.push(variable(name)?);
            rest = after;
        }
        parts.push(Part::Fixed(tokens(rest, has_wildcards)));
        Ok(Self(parts))
    }

    /// Whether it has the six parts of an ARN.
    pub(super) fn is_arn(&self) -> bool {
        let fixed = self.0.iter().filter_map(|part| match part {
            Part::Fixed(tokens) => Some(tokens),
            Part::Variable { .. } => None,
        });
        let colons = fixed.flatten().filter(|token| **token == COLON);
        colons.count() >= ARN_PARTS - 1
    }

    /// The pattern for a request; none when a variable has no value.
    pub(super) fn expand(&self, request: &Request<'_>) -> Option<Cow<'_, [Token]>> {
        if let [Part::Fixed(tokens)] = self.0.as_slice() {
            return Some(Cow::Borrowed(tokens));
        }
        let mut expanded = Vec::new();
        for part in &self.0 {
            match part {
                Part::Fixed(tokens) => expanded.extend(tokens),
                Part::Variable { key, default } => {
                    let value = request.values(key).into_iter().next();
                    let value = value.or(default.as_deref().map(Cow::Borrowed))?;
                    expanded.extend(tokens(&value, false));
                }
            }
        }
        Some(Cow::Owned(expanded))
    }
}

fn variable(name: &str) -> Result<Part, String> {
    if matches!(name, "*" | "?" | "$") {
        return Ok(Part::Fixed(tokens(name, false)));
    }
    let (name, default) = match name.split_once(',') {
        None => (name, None),
        Some((name, default)) => (name, Some(default.trim())),
    };
    let key = Key::parse(name.trim())?;
    if key.is_multivalued() {
        return Err(format!(
            "{name} can have several values and cannot be a policy variable"
        ));
    }
    let quoted = |text: &str| {
        let inner = text
            .strip_prefix('\'')
            .and_then(|text| text.strip_suffix('\''));
        inner.map(str::to_owned).ok_or_else(|| {
            format!("the default of the policy variable {name} is not in single quotes")
        })
    };
    let default = default.map(quoted).transpose()?;
    Ok(Part::Variable { key, default })
}

fn tokens(text: &str, has_wildcards: bool) -> Vec<Token> {
    let token = |byte| match byte {
        b'*' if has_wildcards => Token::Any,
        b'?' if has_wildcards => Token::One,
        byte => Token::Byte(byte),
    };
    text.bytes().map(token).collect()
}

/// Whether a pattern matches a whole text.
pub(super) fn matches(pattern: &[Token], text: &str, ignores_case: bool) -> bool {
    let text = text.as_bytes();
    let is_same = |wanted: u8, byte: u8| {
        wanted == byte || (ignores_case && wanted.eq_ignore_ascii_case(&byte))
    };
    // Where to go on after the last star: each star is tried with one byte more when the rest does not fit.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while let Some(&byte) = text.get(t) {
        match (pattern.get(p), retry) {
            (Some(Token::Any), _) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            (Some(Token::One), _) => (p, t) = (p + 1, t + 1),
            (Some(&Token::Byte(wanted)), _) if is_same(wanted, byte) => (p, t) = (p + 1, t + 1),
            (_, None) => return false,
            (_, Some((after, from))) => {
                (p, t) = (after, from + 1);
                retry = Some((after, from + 1));
            }
        }
    }
    pattern.iter().skip(p).all(|token| *token == Token::Any)
}

const COLON: Token = Token::Byte(b':');

/// Of an ARN, separated by colons; the last one may have more of them.
const ARN_PARTS: usize = 6;

/// Whether a pattern matches an ARN: part by part, so that no wildcard reaches over a colon of the first five.
pub(super) fn matches_arn(pattern: &[Token], arn: &str) -> bool {
    let wanted: Vec<_> = pattern.splitn(ARN_PARTS, |token| *token == COLON).collect();
    let found: Vec<_> = arn.splitn(ARN_PARTS, ':').collect();
    let mut pairs = wanted.iter().zip(&found);
    wanted.len() == ARN_PARTS
        && found.len() == ARN_PARTS
        && pairs.all(|(wanted, found)| matches(wanted, found, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, does) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*", "xxaxx", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbYbZc", true),
        ] {
            assert_eq!(
                matches(&tokens(pattern, true), text, false),
                does,
                "{pattern} {text}"
            );
        }
        assert!(matches(&tokens("ABC", true), "abc", true));
        assert!(
            !matches(&tokens("a*", false), "abc", false)
                && matches(&tokens("a*", false), "a*", false)
        );
    }

    #[test]
    fn wildcards_of_arns_stay_in_their_part() {
        for (pattern, arn, does) in [
            ("arn:aws:iam::*:role/*", "arn:aws:iam::1:role/a/b", true),
            ("arn:*:role/a", "arn:aws:iam::1:role/a", false),
            ("arn:aws:iam::1:*", "arn:aws:iam::1:user/a:b", true),
            ("arn:aws:iam::1:role/a", "not an ARN", false),
        ] {
            assert_eq!(
                matches_arn(&tokens(pattern, true), arn),
                does,
                "{pattern} {arn}"
            );
        }
    }

    #[test]
    fn variables_that_are_not_understood_are_errors() {
        for bad in [
            "${",
            "${aws:Unknown}",
            "${aws:TagKeys}",
            "${aws:username, none}",
        ] {
            assert!(Template::parse(bad, true, true).is_err(), "{bad}");
            assert!(
                Template::parse(bad, true, false).is_ok(),
                "{bad} is plain text in a policy of 2008"
            );
        }
        assert!(Template::parse("${aws:PrincipalTag/a, 'none'}-${*}", true, true).is_ok());
    }
}
