//! Patterns in a policy: texts with wildcards and policy variables.
//!
//! # Invariants
//! - The value of a variable is literal, so a star in the value of a tag is not a wildcard.

use std::borrow::Cow;

use super::context_key::ContextKey;
use super::request::PolicyRequest;

/// A text with wildcards and policy variables.
#[derive(Debug)]
pub(super) struct PolicyPattern(Vec<PatternPart>);

#[derive(Debug)]
enum PatternPart {
    Fixed(Vec<PatternToken>),
    Variable {
        key: ContextKey,
        default: Option<String>,
    },
}

/// One element of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatternToken {
    Byte(u8),
    /// `?`: one byte.
    One,
    /// `*`: any number of bytes.
    Any,
}

impl PolicyPattern {
    /// Parses a text. The flags enable the wildcards `*` and `?`, and variables such as `${aws:username}`.
    pub(super) fn parse(
        text: &str,
        has_wildcards: bool,
        has_variables: bool,
    ) -> Result<Self, String> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("${").filter(|_| has_variables) {
            let end = after.split_once('}');
            let (name, after) =
                end.ok_or_else(|| format!("the policy variable in {text} is not closed"))?;
            parts.push(PatternPart::Fixed(tokens(before, has_wildcards)));
            parts.push(variable(name)?);
            rest = after;
        }
        parts.push(PatternPart::Fixed(tokens(rest, has_wildcards)));
        Ok(Self(parts))
    }

    /// Returns whether the pattern has the six parts of an ARN.
    pub(super) fn is_arn(&self) -> bool {
        let fixed = self.0.iter().filter_map(|part| match part {
            PatternPart::Fixed(tokens) => Some(tokens),
            PatternPart::Variable { .. } => None,
        });
        let colons = fixed.flatten().filter(|token| **token == COLON);
        colons.count() >= ARN_PARTS - 1
    }

    /// Returns the pattern with the values of a request; none if a variable has no value.
    pub(super) fn expand(&self, request: &PolicyRequest<'_>) -> Option<Cow<'_, [PatternToken]>> {
        if let [PatternPart::Fixed(tokens)] = self.0.as_slice() {
            return Some(Cow::Borrowed(tokens));
        }
        let mut expanded = Vec::new();
        for part in &self.0 {
            match part {
                PatternPart::Fixed(tokens) => expanded.extend(tokens),
                PatternPart::Variable { key, default } => {
                    let value = request.values(key).into_iter().next();
                    let value = value.or(default.as_deref().map(Cow::Borrowed))?;
                    expanded.extend(tokens(&value, false));
                }
            }
        }
        Some(Cow::Owned(expanded))
    }
}

fn variable(name: &str) -> Result<PatternPart, String> {
    if matches!(name, "*" | "?" | "$") {
        return Ok(PatternPart::Fixed(tokens(name, false)));
    }
    let (name, default) = match name.split_once(',') {
        None => (name, None),
        Some((name, default)) => (name, Some(default.trim())),
    };
    let key = ContextKey::parse(name.trim())?;
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
    Ok(PatternPart::Variable { key, default })
}

fn tokens(text: &str, has_wildcards: bool) -> Vec<PatternToken> {
    let token = |byte| match byte {
        b'*' if has_wildcards => PatternToken::Any,
        b'?' if has_wildcards => PatternToken::One,
        byte => PatternToken::Byte(byte),
    };
    text.bytes().map(token).collect()
}

/// Returns whether a pattern matches a whole text.
pub(super) fn matches(pattern: &[PatternToken], text: &str, ignores_case: bool) -> bool {
    let text = text.as_bytes();
    let is_same = |wanted: u8, byte: u8| {
        wanted == byte || (ignores_case && wanted.eq_ignore_ascii_case(&byte))
    };
    // The position after the last star, for backtracking: if the rest does not match, the star takes one byte more.
    let (mut p, mut t, mut retry) = (0, 0, None);
    while let Some(&byte) = text.get(t) {
        match (pattern.get(p), retry) {
            (Some(PatternToken::Any), _) => {
                retry = Some((p + 1, t));
                p += 1;
            }
            (Some(PatternToken::One), _) => (p, t) = (p + 1, t + 1),
            (Some(&PatternToken::Byte(wanted)), _) if is_same(wanted, byte) => {
                (p, t) = (p + 1, t + 1)
            }
            (_, None) => return false,
            (_, Some((after, from))) => {
                (p, t) = (after, from + 1);
                retry = Some((after, from + 1));
            }
        }
    }
    pattern
        .iter()
        .skip(p)
        .all(|token| *token == PatternToken::Any)
}

const COLON: PatternToken = PatternToken::Byte(b':');

/// The number of parts of an ARN. Colons separate them; the last part may have colons, too.
const ARN_PARTS: usize = 6;

/// Returns whether a pattern matches an ARN. Parts are matched separately, so a wildcard does not match the first five colons.
pub(super) fn matches_arn(pattern: &[PatternToken], arn: &str) -> bool {
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
    fn wildcards_match_texts() {
        for (pattern, text, expected) in [
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
                expected,
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
    fn wildcards_match_within_one_part_of_an_arn() {
        for (pattern, arn, expected) in [
            ("arn:aws:iam::*:role/*", "arn:aws:iam::1:role/a/b", true),
            ("arn:*:role/a", "arn:aws:iam::1:role/a", false),
            ("arn:aws:iam::1:*", "arn:aws:iam::1:user/a:b", true),
            ("arn:aws:iam::1:role/a", "not an ARN", false),
        ] {
            assert_eq!(
                matches_arn(&tokens(pattern, true), arn),
                expected,
                "{pattern} {arn}"
            );
        }
    }

    #[test]
    fn invalid_variables_are_rejected() {
        for bad in [
            "${",
            "${aws:Unknown}",
            "${aws:TagKeys}",
            "${aws:username, none}",
        ] {
            assert!(PolicyPattern::parse(bad, true, true).is_err(), "{bad}");
            assert!(
                PolicyPattern::parse(bad, true, false).is_ok(),
                "{bad} is plain text in a policy of 2008"
            );
        }
        assert!(PolicyPattern::parse("${aws:PrincipalTag/a, 'none'}-${*}", true, true).is_ok());
    }
}
