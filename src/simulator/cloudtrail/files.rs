//! CloudTrail files, with the names that AWS uses in a bucket.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::entry::{TrailRecord, event_time};
use crate::simulator::crypto::random;

/// The name of the simulated CloudTrail, and of its bucket.
const TRAIL: &str = "kms-simulator";

/// A delivered file and its entry in the digest.
pub(super) struct DeliveredFile {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) entry: Value,
}

/// Writes the records of one account and Region: `AWSLogs/<acct>/CloudTrail/<region>/YYYY/MM/DD/…json.gz`.
pub(super) fn write_records(
    root: &Path,
    account: &str,
    region: &str,
    records: &[TrailRecord],
) -> io::Result<DeliveredFile> {
    let now = OffsetDateTime::now_utc();
    let unique = random::bytes::<12>().map_err(|error| io::Error::other(error.message))?;
    let file = format!(
        "{account}_CloudTrail_{region}_{}_{}.json.gz",
        compact(now, false),
        unique_string(&unique)
    );
    let path = directory(account, "CloudTrail", region, now).join(file);
    let values: Vec<_> = records.iter().map(|record| &record.value).collect();
    let bytes = write(root, &path, &json!({ "Records": values }))?;
    let times = || records.iter().map(|record| record.time);
    let formatted = |time: Option<OffsetDateTime>| time.map(event_time);
    Ok(DeliveredFile {
        account: account.to_owned(),
        region: region.to_owned(),
        entry: json!({
            "s3Bucket": TRAIL,
            "s3Object": path,
            "hashValue": crate::hex::encode(&Sha256::digest(&bytes)),
            "hashAlgorithm": "SHA-256",
            "newestEventTime": formatted(times().max()),
            "oldestEventTime": formatted(times().min()),
        }),
    })
}

/// Writes the digest of the files of one account and Region. It has no signature: CloudTrail puts that in the metadata of the S3 object.
pub(super) fn write_digest(
    root: &Path,
    account: &str,
    region: &str,
    start: OffsetDateTime,
    files: &[Value],
) -> io::Result<()> {
    let end = OffsetDateTime::now_utc();
    let file = format!(
        "{account}_CloudTrail-Digest_{region}_{TRAIL}_{region}_{}.json.gz",
        compact(end, true)
    );
    let path = directory(account, "CloudTrail-Digest", region, end).join(file);
    let digest = json!({
        "awsAccountId": account,
        "digestStartTime": event_time(start),
        "digestEndTime": event_time(end),
        "digestS3Bucket": TRAIL,
        "digestS3Object": path,
        "digestPublicKeyFingerprint": null,
        "digestSignatureAlgorithm": "SHA256withRSA",
        "previousDigestS3Bucket": null,
        "previousDigestS3Object": null,
        "previousDigestHashValue": null,
        "previousDigestHashAlgorithm": null,
        "previousDigestSignature": null,
        "logFiles": files,
    });
    write(root, &path, &digest).map(drop)
}

fn directory(account: &str, kind: &str, region: &str, time: OffsetDateTime) -> PathBuf {
    let date = time.date();
    let (month, day) = (u8::from(date.month()), date.day());
    PathBuf::from(format!(
        "AWSLogs/{account}/{kind}/{region}/{:04}/{month:02}/{day:02}",
        date.year()
    ))
}

/// Returns a time as `YYYYMMDDTHHmmZ` or, with seconds, `YYYYMMDDTHHmmssZ`.
fn compact(time: OffsetDateTime, has_seconds: bool) -> String {
    let digits: String = event_time(time)
        .chars()
        .filter(|c| !matches!(c, '-' | ':'))
        .collect();
    match has_seconds {
        true => digits,
        false => format!("{}Z", digits.get(..13).unwrap_or_default()),
    }
}

/// Returns 16 letters and digits.
fn unique_string(bytes: &[u8; 12]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    text.replace(['+', '/'], "0")
}

/// Writes a gzip file and returns its bytes. The file gets its name after it is complete.
fn write(root: &Path, path: &Path, value: &Value) -> io::Result<Vec<u8>> {
    let path = root.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(value.to_string().as_bytes())?;
    let bytes = gzip.finish()?;
    let beside = path.with_extension("new");
    fs::write(&beside, &bytes)?;
    fs::rename(&beside, &path)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn names_are_those_of_cloudtrail() {
        let time = datetime!(2026-03-04 05:06:07 UTC);
        assert_eq!(compact(time, false), "20260304T0506Z");
        assert_eq!(compact(time, true), "20260304T050607Z");
        assert_eq!(
            directory("111122223333", "CloudTrail", "eu-west-1", time),
            Path::new("AWSLogs/111122223333/CloudTrail/eu-west-1/2026/03/04")
        );
        let unique = unique_string(&[0xff; 12]);
        assert!(unique.len() == 16 && unique.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
