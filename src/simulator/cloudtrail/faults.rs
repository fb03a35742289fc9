//! Records that are lost, late or there twice.

use std::time::Instant;

use super::entry::Record;
use super::settings::TrailFaults;

/// Decides what becomes of each record.
pub(super) struct Fate {
    faults: TrailFaults,
    count: u64,
}

/// When a record is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// With the next delivery.
    Next,
    /// With the one after it.
    AfterNext,
    /// Not before this time.
    At(Instant),
}

impl Fate {
    /// No record has come yet.
    pub(super) fn new(faults: TrailFaults) -> Self {
        Self { faults, count: 0 }
    }

    /// When the record is delivered: not at all, once or twice.
    pub(super) fn of(&mut self, record: Record, now: Instant) -> Vec<(When, Record)> {
        self.count += 1;
        let is_hit =
            |every: Option<u64>| every.is_some_and(|every| self.count.is_multiple_of(every));
        let late = || now.checked_add(self.faults.late_by).unwrap_or(now);
        match (is_hit(self.faults.lost), is_hit(self.faults.late)) {
            (true, _) => vec![],
            (false, true) => vec![(When::At(late()), record)],
            (false, false) if is_hit(self.faults.doubled) => {
                vec![(When::Next, record.clone()), (When::AfterNext, record)]
            }
            (false, false) => vec![(When::Next, record)],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use time::OffsetDateTime;

    use super::*;

    #[test]
    fn every_so_many_th_record_has_a_fault() {
        let now = Instant::now();
        let late_by = Duration::from_secs(60);
        let mut fate = Fate::new(TrailFaults {
            lost: Some(2),
            doubled: Some(3),
            late: Some(5),
            late_by,
        });
        let record = || Record {
            account: String::new(),
            region: String::new(),
            time: OffsetDateTime::UNIX_EPOCH,
            value: Value::Null,
        };
        let mut when = || -> Vec<When> {
            let fates = fate.of(record(), now).into_iter();
            fates.map(|(when, _)| when).collect()
        };
        assert_eq!(when(), [When::Next]);
        assert_eq!(when(), []);
        assert_eq!(when(), [When::Next, When::AfterNext]);
        assert_eq!(when(), []);
        assert_eq!(when(), [When::At(now + late_by)]);
    }
}
