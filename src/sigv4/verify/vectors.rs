//! AWS's published signing test vectors, read from the `aws-sigv4` package.

use std::path::{Path, PathBuf};
use std::process::Command;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::tests::{Signed, credentials};
use super::*;

/// Returns the directory of the test suite in the `aws-sigv4` package.
fn vector_directory() -> PathBuf {
    // A machine that has built only for its own platform may not have all packages of other platforms.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages.iter().find(|p| p["name"] == "aws-sigv4").unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.parent().unwrap().join("aws-signing-test-suite/v4")
}

/// Parses a request file of the suite: HTTP/1.1 with folded header lines.
fn vector_request(text: &str) -> Signed {
    let (head, body) = text
        .split_once("\n\n")
        .unwrap_or((text.trim_end_matches('\n'), ""));
    let head = head.replace("\n  ", " ").replace("\n ", " ");
    let mut lines = head.lines();
    let (method, rest) = lines.next().unwrap().split_once(' ').unwrap();
    let target = rest.strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.trim().as_bytes()).unwrap(),
        );
    }
    Signed {
        headers,
        body: body.as_bytes().to_vec(),
        path: path.into(),
        query,
        method: method.into(),
    }
}

#[test]
fn the_published_vectors_verify() {
    let mut verified_vectors = 0;
    for entry in std::fs::read_dir(vector_directory()).unwrap() {
        let directory = entry.unwrap().path();
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let read = |file: &str| std::fs::read_to_string(directory.join(file)).unwrap();
        // Two of AWS's directories are tests of a signer's settings without credentials, not vectors.
        if !directory.join("context.json").exists() {
            continue;
        }
        let context: serde_json::Value = serde_json::from_str(&read("context.json")).unwrap();
        let request = vector_request(&read("header-signed-request.txt"));
        let keys = &context["credentials"];
        let credentials = credentials(&[(
            keys["access_key_id"].as_str().unwrap(),
            keys["secret_access_key"].as_str().unwrap(),
        )]);
        let verifier = Verifier {
            credentials: &credentials,
            scope: Scope {
                region: "us-east-1",
                service: "service",
            },
            path_form: match context["normalize"].as_bool().unwrap() {
                true => PathForm::Normalized,
                false => PathForm::AsSent,
            },
        };
        let verified = |body: &[u8]| {
            let request = SignedRequest {
                method: &request.method,
                path: &request.path,
                query: request.query.as_deref(),
                headers: &request.headers,
                authority: None,
                body,
            };
            let time = OffsetDateTime::from_unix_timestamp(1_440_938_160).unwrap();
            verifier.verify(&request, time.into()).map(drop)
        };
        assert_eq!(verified(&request.body), Ok(()), "{name}");
        assert_eq!(
            verified(b"another body"),
            Err(Denied::SignatureMismatch),
            "{name}"
        );
        verified_vectors += 1;
    }
    assert!(
        verified_vectors >= 37,
        "only {verified_vectors} vectors were found"
    );
}
