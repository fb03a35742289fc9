//! Times as text, in the form that the log and the audit trail use: `2026-11-24T18:04:05.225818Z` (RFC 3339, UTC, microseconds).

use std::time::SystemTime;

use time::OffsetDateTime;

/// Appends the time. Its year must be from 0 to 9999: a working clock shows no other year.
pub fn push_utc(out: &mut Vec<u8>, time: SystemTime) {
    let time = OffsetDateTime::from(time);
    let (date, (hour, minute, second, micro)) = (time.date(), time.time().as_hms_micro());
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

/// Appends a number with leading zeros. This is faster than `write!`, and each line of the log and of the audit trail needs it.
fn push_digits(out: &mut Vec<u8>, digits: u32, number: u32) {
    for position in (0..digits).rev() {
        let digit = number / 10_u32.pow(position) % 10;
        out.push(b'0' + u8::try_from(digit).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};
    use time::format_description::well_known::Rfc3339;

    fn text(time: SystemTime) -> String {
        let mut text = Vec::new();
        push_utc(&mut text, time);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn times_have_the_documented_form() {
        assert_eq!(text(UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
        let time = UNIX_EPOCH + Duration::from_micros(1_795_543_445_000_018);
        assert_eq!(text(time), "2026-11-24T18:04:05.000018Z");
    }

    #[test]
    fn another_parser_reads_the_same_time() {
        for day in 0..40_000 {
            let time = UNIX_EPOCH + Duration::from_micros(day * 86_398_765_433);
            let read = OffsetDateTime::parse(&text(time), &Rfc3339).unwrap();
            assert_eq!(SystemTime::from(read), time);
        }
    }
}
