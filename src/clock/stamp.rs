//! Moments as text, the one form of logs and audit trail: `2026-11-24T18:04:05.225818Z` (RFC 3339, UTC, microseconds).

use std::time::SystemTime;

use time::OffsetDateTime;

/// Appends the moment. Of years from 0 to 9999; others do not occur on a clock that works.
pub fn push_utc(out: &mut Vec<u8>, moment: SystemTime) {
    let moment = OffsetDateTime::from(moment);
    let (date, (hour, minute, second, micro)) = (moment.date(), moment.time().as_hms_micro());
    let (month, day) = (u8::from(date.month()), date.day());
    push_digits(out, 4, date.year().unsigned_abs());
    for (before, number) in [
        (b'-', month),
        (b'-', day),
        (b'T', hour),
        (b':', minute),
        (b':', second),
    ] {
        out.push(before);
        push_digits(out, 2, number.into());
    }
    out.push(b'.');
    push_digits(out, 6, micro);
    out.push(b'Z');
}

/// Each line of log and trail has one: digits are cheaper than formatting.
fn push_digits(out: &mut Vec<u8>, digits: u32, number: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_u32.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};
    use time::format_description::well_known::Rfc3339;

    fn text(moment: SystemTime) -> String {
        let mut text = Vec::new();
        push_utc(&mut text, moment);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn moments_have_one_form() {
        assert_eq!(text(UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
        let moment = UNIX_EPOCH + Duration::from_micros(1_795_543_445_000_018);
        assert_eq!(text(moment), "2026-11-24T18:04:05.000018Z");
    }

    #[test]
    fn another_reader_reads_the_same_moment() {
        for day in 0..40_000 {
            let moment = UNIX_EPOCH + Duration::from_micros(day * 86_398_765_433);
            let read = OffsetDateTime::parse(&text(moment), &Rfc3339).unwrap();
            assert_eq!(SystemTime::from(read), moment);
        }
    }
}
