//! The mix of operations and sizes: values with weights in a fixed, evenly spread order, so that two runs send the same sequence.

use std::fmt;
use std::str::FromStr;

use crate::xks::Operation;

/// Values with weights, in the given order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights<T>(Vec<(T, u32)>);

/// Operations with weights: `encrypt=70,decrypt=25,metadata=4,health=1`.
pub type Mix = Weights<Operation>;

/// Lengths of plaintexts in bytes with weights: `32=90,4096=10`, or one length: `32`.
pub type Sizes = Weights<usize>;

/// A smooth weighted round robin over values. It is never random.
#[derive(Clone, Debug)]
pub struct RoundRobin<T> {
    values: Vec<(T, i64)>,
    credit: Vec<i64>,
}

impl<T: Copy> Weights<T> {
    /// Returns a mix of values with their weights.
    pub fn new(weights: Vec<(T, u32)>) -> Self {
        Self(weights)
    }

    /// Returns the values with a weight above zero.
    pub fn values(&self) -> impl Iterator<Item = T> {
        self.0.iter().map(|(thing, _)| *thing)
    }

    /// Starts a round robin.
    pub fn round_robin(&self) -> RoundRobin<T> {
        let values: Vec<_> = self.0.iter().map(|(t, w)| (*t, i64::from(*w))).collect();
        let credit = vec![0; values.len()];
        RoundRobin { values, credit }
    }
}

impl<T: Copy> RoundRobin<T> {
    /// Returns the next value; none if no value has a weight.
    pub fn next_value(&mut self) -> Option<T> {
        for (credit, (_, weight)) in self.credit.iter_mut().zip(&self.values) {
            *credit += weight;
        }
        let total: i64 = self.values.iter().map(|(_, weight)| weight).sum();
        let richest = self.credit.iter_mut().zip(&self.values);
        // `max_by_key` returns the last of several equal values; `rev` makes it the first.
        let (credit, (thing, _)) = richest.rev().max_by_key(|(credit, _)| **credit)?;
        *credit -= total;
        Some(*thing)
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, |name| {
            let found = Operation::ALL.into_iter().find(|o| o.as_str() == name);
            found.ok_or_else(|| {
                format!("{name:?} is not one of encrypt, decrypt, metadata and health")
            })
        })
    }
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text, |length| {
            let parsed = length.parse().ok();
            let legal = parsed.filter(|length| *length <= crate::xks::MAX_PLAINTEXT);
            legal.ok_or_else(|| format!("{length:?} is not a length from 0 to 65536"))
        })
    }
}

fn parse<T>(text: &str, thing: impl Fn(&str) -> Result<T, String>) -> Result<Weights<T>, String> {
    let mut weights = Vec::new();
    for part in text.split(',') {
        let (name, weight) = part.trim().split_once('=').unwrap_or((part.trim(), "1"));
        let parsed = weight.parse().ok().filter(|weight| *weight <= 10_000);
        let weight = parsed.ok_or_else(|| format!("{weight:?} is not a weight up to 10000"))?;
        weights.push((thing(name)?, weight));
    }
    // Values without weight are left out.
    weights.retain(|(_, weight)| *weight > 0);
    match weights.is_empty() {
        true => Err("nothing has a weight".to_owned()),
        false => Ok(Weights(weights)),
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0.iter().map(|(o, w)| (o.as_str(), w))))
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0.iter().map(|(length, w)| (length, w))))
    }
}

fn shown<'a>(parts: impl Iterator<Item = (impl fmt::Display, &'a u32)>) -> String {
    let parts: Vec<String> = parts
        .map(|(name, weight)| format!("{name}={weight}"))
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_robin(mix: &str, count: usize) -> Vec<&'static str> {
        let mut round_robin = mix.parse::<Mix>().unwrap().round_robin();
        (0..count)
            .map(|_| round_robin.next_value().unwrap().as_str())
            .collect()
    }

    #[test]
    fn values_are_spread_evenly() {
        let four = round_robin("encrypt=3,decrypt=1", 8);
        assert_eq!(four.iter().filter(|o| **o == "decrypt").count(), 2);
        assert_ne!(four[0..2], ["decrypt", "decrypt"]);
        assert_eq!(
            round_robin("encrypt,decrypt", 4),
            ["encrypt", "decrypt", "encrypt", "decrypt"]
        );
        assert_eq!(round_robin("health=0,encrypt=5", 2), ["encrypt", "encrypt"]);
    }

    #[test]
    fn a_mix_equals_its_text() {
        for text in ["encrypt=70,decrypt=25,metadata=4,health=1", "health=1"] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), text);
        }
        assert_eq!("32".parse::<Sizes>().unwrap().to_string(), "32=1");
        assert_eq!(
            "0=1, 4096=9".parse::<Sizes>().unwrap().to_string(),
            "0=1,4096=9"
        );
    }

    #[test]
    fn invalid_mixes_are_rejected() {
        for bad in [
            "",
            "encrypt=x",
            "sign=1",
            "encrypt=-1",
            "encrypt=0",
            "encrypt=10001",
        ] {
            assert!(bad.parse::<Mix>().is_err(), "{bad}");
        }
        for bad in ["", "x", "65537", "-1"] {
            assert!(bad.parse::<Sizes>().is_err(), "{bad}");
        }
    }
}
