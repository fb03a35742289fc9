//! The part of CBOR (RFC 8949) that the protocol RPC v2 of AWS uses, converted from and to JSON values.
//!
//! A time (tag 1) becomes a number. In responses, the items of a member `Timestamps` are written as times.
//!
//! # Invariants
//! - Nesting is bounded, and no length in the input causes an allocation.

use serde_json::{Map, Number, Value};

/// The maximum nesting.
const DEEPEST: usize = 16;

/// The member whose items are written as times.
const TIMES: &str = "Timestamps";

/// Parses bytes that are exactly one value; returns none for other bytes.
pub(in crate::simulator) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut reader = CborReader(bytes);
    let value = reader.value(0)?;
    reader.0.is_empty().then_some(value)
}

/// Writes a value.
pub(in crate::simulator) fn encode(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, value, false);
    bytes
}

fn write(bytes: &mut Vec<u8>, value: &Value, are_times: bool) {
    match value {
        Value::Null => bytes.push(0xf6),
        Value::Bool(false) => bytes.push(0xf4),
        Value::Bool(true) => bytes.push(0xf5),
        Value::Number(number) => {
            if are_times {
                bytes.push(0xc1);
            }
            bytes.push(0xfb);
            bytes.extend_from_slice(&number.as_f64().unwrap_or_default().to_be_bytes());
        }
        Value::String(text) => {
            head(bytes, 3, text.len());
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Array(items) => {
            head(bytes, 4, items.len());
            items.iter().for_each(|item| write(bytes, item, are_times));
        }
        Value::Object(members) => {
            head(bytes, 5, members.len());
            for (name, value) in members {
                head(bytes, 3, name.len());
                bytes.extend_from_slice(name.as_bytes());
                write(bytes, value, name == TIMES);
            }
        }
    }
}

fn head(bytes: &mut Vec<u8>, kind: u8, length: usize) {
    let kind = kind << 5;
    // A usize has at most 64 bits, so nothing is lost.
    let length = length as u64;
    match u8::try_from(length) {
        Ok(short) if short < 24 => bytes.push(kind | short),
        _ => {
            bytes.push(kind | 27);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
}

/// The length of an item.
enum ItemLength {
    Of(u64),
    ToBreak,
}

struct CborReader<'a>(&'a [u8]);

impl<'a> CborReader<'a> {
    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn number(&mut self, bytes: u64) -> Option<u64> {
        let taken = self.take(bytes)?.iter();
        Some(taken.fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        let first = self.byte()?;
        let (kind, more) = (first >> 5, first & 31);
        if kind == 7 {
            return self.simple(more);
        }
        let length = match more {
            0..24 => ItemLength::Of(u64::from(more)),
            24..28 => ItemLength::Of(self.number(1 << (more - 24))?),
            31 => ItemLength::ToBreak,
            _ => return None,
        };
        match (kind, length) {
            (0, ItemLength::Of(number)) => Some(number.into()),
            (1, ItemLength::Of(number)) => Some((-1 - i64::try_from(number).ok()?).into()),
            (3, length) => self.text(length).map(Value::String),
            (4, length) => self.array(length, depth),
            (5, length) => self.map(length, depth),
            (6, ItemLength::Of(1)) => self.value(depth + 1).filter(Value::is_number),
            _ => None,
        }
    }

    fn simple(&mut self, more: u8) -> Option<Value> {
        let float = |number: f64| Number::from_f64(number).map(Value::Number);
        match more {
            20 => Some(Value::Bool(false)),
            21 => Some(Value::Bool(true)),
            22 | 23 => Some(Value::Null),
            26 => float(f64::from(f32::from_be_bytes(
                self.take(4)?.try_into().ok()?,
            ))),
            27 => float(f64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            _ => None,
        }
    }

    fn text(&mut self, length: ItemLength) -> Option<String> {
        match length {
            ItemLength::Of(length) => String::from_utf8(self.take(length)?.to_vec()).ok(),
            ItemLength::ToBreak => {
                let mut text = String::new();
                while !self.is_broken()? {
                    // A chunk has a definite length.
                    match self.value(DEEPEST)? {
                        Value::String(piece) => text.push_str(&piece),
                        _ => return None,
                    }
                }
                Some(text)
            }
        }
    }

    fn array(&mut self, length: ItemLength, depth: usize) -> Option<Value> {
        let mut items = Vec::new();
        while self.has_more(&length, items.len())? {
            items.push(self.value(depth + 1)?);
        }
        Some(Value::Array(items))
    }

    fn map(&mut self, length: ItemLength, depth: usize) -> Option<Value> {
        let (mut members, mut count) = (Map::new(), 0);
        while self.has_more(&length, count)? {
            let Value::String(name) = self.value(depth + 1)? else {
                return None;
            };
            members.insert(name, self.value(depth + 1)?);
            count += 1;
        }
        Some(Value::Object(members))
    }

    fn has_more(&mut self, length: &ItemLength, read: usize) -> Option<bool> {
        match length {
            ItemLength::Of(length) => Some((read as u64) < *length),
            ItemLength::ToBreak => self.is_broken().map(|is_broken| !is_broken),
        }
    }

    /// Returns whether the next byte is a break, and consumes it then.
    fn is_broken(&mut self) -> Option<bool> {
        let is_broken = *self.0.first()? == 0xff;
        if is_broken {
            self.byte()?;
        }
        Some(is_broken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn encoded_values_decode_to_the_same_values() {
        let value = json!({
            "a": "text", "long": "x".repeat(300), "list": [1.5, -2.0, null, true, false], "map": {"b": {}},
        });
        assert_eq!(decode(&encode(&value)), Some(value));
        // The time in RFC 8949, appendix A.
        let times = encode(&json!({ "Timestamps": [1363896240.5] }));
        assert!(times.ends_with(&[0xc1, 0xfb, 0x41, 0xd4, 0x52, 0xd9, 0xec, 0x20, 0, 0]));
        assert_eq!(
            decode(&times),
            Some(json!({ "Timestamps": [1363896240.5] }))
        );
    }

    #[test]
    fn examples_of_the_rfc_are_decoded() {
        for (bytes, value) in [
            (&[0x18, 0x64][..], json!(100)),
            (&[0x1a, 0, 0x0f, 0x42, 0x40], json!(1000000)),
            (&[0x38, 0x63], json!(-100)),
            (&[0x9f, 1, 0x82, 2, 3, 0xff], json!([1, [2, 3]])),
            (&[0xbf, 0x61, 0x61, 1, 0xff], json!({"a": 1})),
            (&[0x7f, 0x61, 0x61, 0x61, 0x62, 0xff], json!("ab")),
            (&[0xfa, 0x47, 0xc3, 0x50, 0], json!(100000.0)),
        ] {
            assert_eq!(decode(bytes), Some(value), "{bytes:x?}");
        }
    }

    #[test]
    fn invalid_bytes_are_rejected() {
        let deep = [vec![0x81; 100], vec![1]].concat();
        for bad in [
            &[][..],
            &[0x61],
            &[0x61, 0xff],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xa1, 1, 1],
            &[0xc1, 0x61, 0x61],
            &[0xc2, 1],
            &[1, 1],
            &[0xff],
            &[0x9f],
            &[0xf9, 0, 0],
            &deep,
        ] {
            assert_eq!(decode(bad), None, "{bad:x?}");
        }
    }
}
