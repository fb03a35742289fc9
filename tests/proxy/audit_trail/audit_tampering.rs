//! `audit verify`: an unchanged audit trail is valid, and every change is found and named. Lines with an HSM signature cannot be forged.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::command::{Ran, run};
use crate::harness::metrics::eventually;
use crate::harness::sign::hexadecimal;
use crate::harness::trail::AUDIT_KEY;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, Proxy};

/// An audit trail of about forty lines with several sealed checkpoints, and its stopped proxy.
struct Scene {
    proxy: Proxy,
    path: PathBuf,
    lines: Vec<String>,
}

impl Scene {
    fn written() -> Self {
        let mut path = PathBuf::new();
        let mut proxy = Proxy::start_with(|setup| {
            let trail = setup.audit("checkpoint = { lines = 5, interval = \"1h\" }");
            path = trail.path().to_owned();
        });
        for _ in 0..8 {
            let seals = || read(&path).matches("\"sealed\"").count();
            let before = seals();
            for _ in 0..5 {
                proxy
                    .caller(&PAYMENTS)
                    .call("metadata", "orders", &plain_body("metadata"))
                    .ok();
            }
            eventually("one more seal", || (seals() > before).then_some(()));
        }
        proxy.daemon.signal(Signal::TERM);
        assert!(proxy.daemon.wait().success());
        let lines = read(&path)
            .lines()
            .map(|line| format!("{line}\n"))
            .collect();
        Self { proxy, path, lines }
    }

    /// Verifies these bytes in place of the audit trail.
    fn verify(&self, bytes: impl AsRef<[u8]>, options: &[&str]) -> Ran {
        fs::write(&self.path, bytes).unwrap();
        run(&self.proxy.setup, &[&["audit", "verify"], options].concat())
    }

    #[track_caller]
    fn damage(&self, lines: &[String], options: &[&str]) -> Value {
        let ran = self.verify(lines.concat(), &[options, &["--json"]].concat());
        let ran = ran.expect(1, &[]);
        let report = ran.json();
        assert_eq!(report["ok"], false, "{report}");
        report["fault"].clone()
    }

    fn line_of_kind(&self, kind: &str, from: usize) -> usize {
        let kind = format!("\"kind\":\"{kind}\"");
        let found = self
            .lines
            .iter()
            .skip(from)
            .position(|line| line.contains(&kind));
        from + found.unwrap()
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Recomputes numbers, links and hashes from this line, as a forger does who can write the file but cannot use the HSM. The seals stay, and
/// the positions that they name are adapted.
fn recompute(lines: &mut [String], from: usize) {
    let mut hashes: Vec<String> = lines.iter().take(from).map(|line| hash_of(line)).collect();
    for (at, line) in lines.iter_mut().enumerate().skip(from) {
        let prev = hashes.last().cloned().unwrap_or("0".repeat(64));
        let (time, link) = (position(line, "\"time\""), position(line, ",\"prev\":\""));
        let (kind, end) = (
            link + ",\"prev\":\"\",".len() + 64,
            position(line, ",\"hash\""),
        );
        let (time, mut rest) = (&line[time..link], line[kind..end].to_owned());
        if let Some(through) = value(line)["through"].as_u64() {
            let head = value(line)["head"].as_str().unwrap().to_owned();
            rest = rest.replace(&head, &hashes[usize::try_from(through).unwrap() - 1]);
        }
        let seq = at + 1;
        let body = format!("{{\"v\":1,\"seq\":{seq},{time},\"prev\":\"{prev}\",{rest}");
        let digest = Sha256::digest(&body);
        let hash = hexadecimal(&digest);
        *line = format!("{body},\"hash\":\"{hash}\"}}\n");
        hashes.push(hash);
    }
}

fn position(line: &str, part: &str) -> usize {
    line.rfind(part).unwrap()
}

fn value(line: &str) -> Value {
    serde_json::from_str(line).unwrap()
}

fn hash_of(line: &str) -> String {
    value(line)["hash"].as_str().unwrap().to_owned()
}

fn forged(line: &str) -> String {
    assert!(line.contains("\"payments\""), "{line}");
    line.replacen("\"payments\"", "\"paiments\"", 1)
}

#[test]
fn every_change_of_an_audit_trail_is_named() {
    let scene = Scene::written();
    let lines = &scene.lines;
    let all = format!("lines 1 to {n} ({n} in 1 files)", n = lines.len());
    let genuine = ["the chain holds", "all genuine by the HSM", &all];
    scene.verify(lines.concat(), &["--hsm"]).expect(0, &genuine);
    let alone = ["the chain holds", "only the chain was verified", &all];
    scene.verify(lines.concat(), &[]).expect(0, &alone);
    let at = scene.line_of_kind("request", 10);
    type Change<'a> = &'a dyn Fn(&mut Vec<String>);
    let cases: [(Change, &str, usize); 7] = [
        (&|l| l[at] = forged(&l[at]), "changed", at),
        (
            &|l| l[at] = l[at].replacen("\"v\":1", "\"v\":2", 1),
            "not_a_line",
            at,
        ),
        (&|l| drop(l.remove(at)), "removed", at),
        (&|l| l.swap(at, at + 1), "reordered", at),
        (&|l| l.insert(at, l[at].clone()), "inserted", at + 1),
        // A line with a recomputed hash is valid, but the next line does not follow it.
        (
            &|l| {
                l[at] = forged(&l[at]);
                recompute(&mut l[..=at], at);
            },
            "unlinked",
            at + 1,
        ),
        (
            &|l| {
                let mut with_one_more = [&l[..=at], &[forged(&l[at])]].concat();
                recompute(&mut with_one_more, at + 1);
                l.insert(at + 1, with_one_more[at + 1].clone());
            },
            "inserted",
            at + 2,
        ),
    ];
    for (change, damage, index) in cases {
        let mut changed = lines.clone();
        change(&mut changed);
        let fault = scene.damage(&changed, &[]);
        let found = (&fault["damage"], &fault["line"], &fault["file"]);
        let expected = (&json!(damage), &json!(index + 1), &json!(scene.path));
        assert_eq!(found, expected, "{fault}");
    }
    scene.changed_bits_are_found();
    scene.removed_ends_are_found();
    scene.forged_seals_are_found();
    scene.changed_seals_are_found();
}

/// Parts of one test, which share one scene because its setup is slow.
impl Scene {
    fn changed_bits_are_found(&self) {
        let whole = self.lines.concat().into_bytes();
        // The last newline is excluded: a last line without a newline is incomplete, which is not damage.
        for at in (0..whole.len() - 1).step_by(whole.len() / 40) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << (at % 7);
            self.verify(changed, &[])
                .expect(1, &["FAULT", "audit.jsonl, line "]);
        }
    }

    fn removed_ends_are_found(&self) {
        let report = self.verify(self.lines.concat(), &["--json"]).json();
        let known = report["last"]["position"].as_str().unwrap();
        self.verify(self.lines.concat(), &["--after", known])
            .expect(0, &["keep for the next time: --after"]);
        let cut = &self.lines[..self.lines.len() - 3];
        self.verify(cut.concat(), &[])
            .expect(3, &["INCOMPLETE", "according to the position file"]);
        let fault = self.damage(cut, &["--after", known]);
        assert_eq!(fault["damage"], "known_line_missing", "{fault}");
        // A removed beginning is found with --after, and is always mentioned.
        let cut = &self.lines[3..];
        self.verify(cut.concat(), &[])
            .expect(0, &["lines 1 to 3 are not in these files", "--after"]);
        let third = format!("3:{}", hash_of(&self.lines[2]));
        self.verify(cut.concat(), &["--after", &third])
            .expect(0, &[]);
        let second = format!("2:{}", hash_of(&self.lines[1]));
        assert_eq!(self.damage(cut, &["--after", &second])["damage"], "removed");
        self.verify(cut.concat(), &["--after", "2:beef"])
            .expect(2, &["SEQ:HASH"]);
        // A line that is being written is not damage.
        let half = self.lines.concat() + &self.lines[3][..40];
        self.verify(half, &[])
            .expect(0, &["40 bytes follow the last whole line"]);
    }

    fn forged_seals_are_found(&self) {
        let at = self.line_of_kind("request", 2);
        let mut rewritten = self.lines.clone();
        rewritten[at] = forged(&rewritten[at]);
        recompute(&mut rewritten, at);
        self.verify(rewritten.concat(), &[])
            .expect(0, &["could have written a new chain"]);
        let fault = self.damage(&rewritten, &["--hsm"]);
        assert_eq!(fault["damage"], "false_seal", "{fault}");
        assert_eq!(
            fault["line"],
            json!(self.line_of_kind("checkpoint", at) + 1),
            "{fault}"
        );
    }

    fn changed_seals_are_found(&self) {
        let seal = self.line_of_kind("checkpoint", 0);
        let changed = |from: &str, to: &str| {
            let mut lines = self.lines.clone();
            assert!(lines[seal].contains(from), "{}", lines[seal]);
            lines[seal] = lines[seal].replacen(from, to, 1);
            recompute(&mut lines, seal);
            lines
        };
        let signature = value(&self.lines[seal])["sealed"]
            .as_str()
            .unwrap()
            .to_owned();
        for other in [
            "00".repeat(signature.len() / 2),
            String::new(),
            "00".repeat(5000),
            signature[2..].to_owned(),
        ] {
            let lines = changed(&signature, &other);
            assert_eq!(
                self.damage(&lines, &["--hsm"])["damage"],
                "false_seal",
                "{other}"
            );
        }
        // A seal of another key proves nothing.
        let lines = changed(AUDIT_KEY, "orders").concat();
        let other_key = "\"orders\", which is not the key of the audit trail";
        self.verify(lines, &["--hsm"])
            .expect(1, &["NOT CHECKED", other_key]);
        // An audit trail without any seal is not accepted with --hsm.
        let mut bare = self.lines.clone();
        for line in bare.iter_mut().filter(|line| line.contains("\"sealed\"")) {
            let (from, to) = (position(line, ",\"hsm\""), position(line, ",\"hash\""));
            line.replace_range(from..to, ",\"unsealed\":\"down\"");
        }
        recompute(&mut bare, 0);
        self.verify(bare.concat(), &["--hsm"])
            .expect(1, &["the HSM vouches for nothing"]);
    }
}

#[test]
fn verification_does_not_disturb_a_running_proxy() {
    let proxy = Proxy::start_with(|setup| {
        setup.audit("checkpoint = { lines = 1 }\nrotate = { size = \"4KiB\" }");
    });
    let payments = proxy.caller(&PAYMENTS);
    for _ in 0..10 {
        payments.call("encrypt", "orders", &encrypt_body(b"x")).ok();
        let ran = run(&proxy.setup, &["audit", "verify", "--json"]);
        assert_eq!(ran.expect(0, &[]).json()["fault"], Value::Null);
    }
    eventually("a seal that the HSM verifies", || {
        let ran = run(&proxy.setup, &["audit", "verify", "--hsm", "--json"]);
        (ran.code == Some(0)).then(|| ran.json())
    });
    payments.call("encrypt", "orders", &encrypt_body(b"x")).ok();
}
