//! Injected faults: records that are lost, late or delivered twice.

use std::time::Instant;

use super::entry::TrailRecord;
use super::settings::TrailFaults;

/// Decides for each record when it is delivered.
pub(super) struct DeliveryFaults {
    faults: TrailFaults,
    count: u64,
}

/// The time of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeliveryTime {
    /// With the next delivery.
    Next,
    /// With the delivery after the next.
    AfterNext,
    /// Not before this time.
    At(Instant),
}

impl DeliveryFaults {
    /// Starts to count records.
    pub(super) fn new(faults: TrailFaults) -> Self {
        Self { faults, count: 0 }
    }

    /// Returns the deliveries of a record: none, one or two.
    pub(super) fn of(
        &mut self,
        record: TrailRecord,
        now: Instant,
    ) -> Vec<(DeliveryTime, TrailRecord)> {
        self.count += 1;
        let is_hit =
            |every: Option<u64>| every.is_some_and(|every| self.count.is_multiple_of(every));
        let late = || now.checked_add(self.faults.late_by).unwrap_or(now);
        match (is_hit(self.faults.lost), is_hit(self.faults.late)) {
            (true, _) => vec![],
            (false, true) => vec![(DeliveryTime::At(late()), record)],
            (false, false) if is_hit(self.faults.doubled) => {
                vec![
                    (DeliveryTime::Next, record.clone()),
                    (DeliveryTime::AfterNext, record),
                ]
            }
            (false, false) => vec![(DeliveryTime::Next, record)],
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
    fn every_nth_record_has_a_fault() {
        let now = Instant::now();
        let late_by = Duration::from_secs(60);
        let mut faults = DeliveryFaults::new(TrailFaults {
            lost: Some(2),
            doubled: Some(3),
            late: Some(5),
            late_by,
        });
        let record = || TrailRecord {
            account: String::new(),
            region: String::new(),
            time: OffsetDateTime::UNIX_EPOCH,
            value: Value::Null,
        };
        let mut when = || -> Vec<DeliveryTime> {
            let fates = faults.of(record(), now).into_iter();
            fates.map(|(when, _)| when).collect()
        };
        assert_eq!(when(), [DeliveryTime::Next]);
        assert_eq!(when(), []);
        assert_eq!(when(), [DeliveryTime::Next, DeliveryTime::AfterNext]);
        assert_eq!(when(), []);
        assert_eq!(when(), [DeliveryTime::At(now + late_by)]);
    }
}
