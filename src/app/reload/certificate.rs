//! The state of the server certificate across reloads: active, half replaced, or rejected while the previous one stays active.
//!
//! # Invariants
//! - Certificate and key are two files: if only one of them is new, this is an error only after [`HALF_REPLACED`].
//! - While a certificate is rejected, an error is logged every [`REMINDER`], and the files are read again: a certificate that is not yet
//!   valid becomes valid without a change of the files.

use std::time::{Duration, Instant};

use crate::config::{CertificateReading, CertificateRefusal};

/// The time within which the second file of a pair must follow the first.
const HALF_REPLACED: Duration = Duration::from_secs(5);

/// The interval at which a rejected certificate is read again and logged.
const REMINDER: Duration = Duration::from_secs(60);

/// The result of the readings so far.
#[derive(Debug, Default)]
pub(in crate::app) struct CertificateReload {
    /// Why the certificate is rejected, and when that was last logged.
    refused: Option<(&'static str, Instant)>,
    /// When the files were first found to hold perhaps half of a new pair.
    half_since: Option<Instant>,
}

/// The action that a reading requires.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::app) enum Outcome {
    /// Nothing: the state has not changed.
    AsBefore,
    /// Wait for the second file of a pair.
    Await,
    /// Log that the certificate is rejected. `is_first` is false for reminders.
    Refuse { is_first: bool },
    /// Log that the certificate in the files is active again.
    Recovered,
}

impl CertificateReload {
    /// Evaluates a reading that was made at `now`.
    pub(in crate::app) fn note(&mut self, reading: &CertificateReading, now: Instant) -> Outcome {
        let Some(refusal) = &reading.refusal else {
            self.half_since = None;
            return match self.refused.take() {
                Some(_) => Outcome::Recovered,
                None => Outcome::AsBefore,
            };
        };
        let is_known = self.reason() == Some(refusal.reason);
        if refusal.may_be_half_replaced && !is_known {
            let is_news = self.half_since.is_none();
            let since = *self.half_since.get_or_insert(now);
            if now < since + HALF_REPLACED {
                return match is_news {
                    true => Outcome::Await,
                    false => Outcome::AsBefore,
                };
            }
        }
        self.half_since = None;
        self.reject(refusal, now)
    }

    fn reject(&mut self, refusal: &CertificateRefusal, now: Instant) -> Outcome {
        let is_first = match self.refused {
            Some((reason, logged)) if reason == refusal.reason => {
                if now < logged + REMINDER {
                    return Outcome::AsBefore;
                }
                false
            }
            _ => true,
        };
        self.refused = Some((refusal.reason, now));
        Outcome::Refuse { is_first }
    }

    /// Returns when the files must be read again even if they do not change.
    pub(in crate::app) fn due(&self) -> Option<Instant> {
        let reminder = self.refused.map(|(_, logged)| logged + REMINDER);
        let end_of_half = self.half_since.map(|since| since + HALF_REPLACED);
        reminder.into_iter().chain(end_of_half).min()
    }

    /// Returns why the certificate in the files is not active; none if it is active.
    pub(in crate::app) fn reason(&self) -> Option<&'static str> {
        self.refused.map(|(reason, _)| reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(reason: &'static str, may_be_half_replaced: bool) -> CertificateReading {
        CertificateReading {
            problems: Vec::new(),
            refusal: Some(CertificateRefusal {
                reason,
                may_be_half_replaced,
                findings: Vec::new(),
            }),
        }
    }

    const FIRST_REJECTION: Outcome = Outcome::Refuse { is_first: true };
    const REMINDED: Outcome = Outcome::Refuse { is_first: false };

    #[test]
    fn the_second_file_of_a_pair_has_five_seconds() {
        let (mut reload, start) = (CertificateReload::default(), Instant::now());
        let half = reading("key_mismatch", true);
        let good = CertificateReading::default();
        assert_eq!(reload.note(&good, start), Outcome::AsBefore);
        assert_eq!((reload.due(), reload.reason()), (None, None));
        assert_eq!(reload.note(&half, start), Outcome::Await);
        let due = start + HALF_REPLACED;
        assert_eq!((reload.due(), reload.reason()), (Some(due), None));
        let just_before = due - Duration::from_millis(1);
        assert_eq!(reload.note(&half, just_before), Outcome::AsBefore);
        assert_eq!(reload.note(&good, just_before), Outcome::AsBefore);
        assert_eq!(reload.note(&half, start), Outcome::Await);
        assert_eq!(reload.note(&half, due), FIRST_REJECTION);
        assert_eq!(reload.reason(), Some("key_mismatch"));
        assert_eq!(reload.note(&good, due), Outcome::Recovered);
        assert_eq!(reload.due(), None);
    }

    #[test]
    fn a_rejected_certificate_is_logged_every_minute() {
        let (mut reload, start) = (CertificateReload::default(), Instant::now());
        let expired = reading("expired", false);
        assert_eq!(reload.note(&expired, start), FIRST_REJECTION, "at once");
        assert_eq!(reload.due(), Some(start + REMINDER));
        assert_eq!(reload.note(&expired, start), Outcome::AsBefore);
        assert_eq!(reload.note(&expired, start + REMINDER), REMINDED);
        assert_eq!(reload.due(), Some(start + 2 * REMINDER));
        let other = reading("chain", false);
        assert_eq!(reload.note(&other, start + REMINDER), FIRST_REJECTION);
        // The new pair arrives, one file after the other.
        let half = reading("key_mismatch", true);
        assert_eq!(reload.note(&half, start + REMINDER), Outcome::Await);
        assert_eq!(reload.reason(), Some("chain"));
        assert_eq!(reload.due(), Some(start + REMINDER + HALF_REPLACED));
        let good = CertificateReading::default();
        assert_eq!(reload.note(&good, start + REMINDER), Outcome::Recovered);
        assert_eq!(reload.due(), None);
    }

    #[test]
    fn an_expired_certificate_is_rejected_at_once_after_half_a_pair() {
        let (mut reload, start) = (CertificateReload::default(), Instant::now());
        assert_eq!(
            reload.note(&reading("invalid", true), start),
            Outcome::Await
        );
        assert_eq!(
            reload.note(&reading("expired", false), start),
            FIRST_REJECTION
        );
    }
}
