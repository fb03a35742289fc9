//! Attribution of errors to the HSM, the key or the ciphertext. The tests cover every return code, for an encryption, and for decryptions of
//! a good and of a damaged ciphertext. The HSM fails once, always for one key, or always for all keys. The test prints the table with
//! `--nocapture` and on failure.

mod codes;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use crate::harness::control::{Control, FOREVER, Function};
use crate::harness::metrics::eventually;
use crate::harness::outage::{await_service, faulty_with};
use crate::harness::wire::{base64, decrypt_body, encrypt_body, set};
use crate::harness::{PAYMENTS, Proxy};
use codes::{CODES, is_about_the_key};

/// The number of concurrent proxies. About half of them wait for their HSM.
const WORKERS: usize = 4;

/// The first key of the store. The keys of the rows are added before it.
const FIRST_KEY: &str = "[[key_store.key]]\nid = \"orders\"\n";

/// The kind of request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ask {
    Encrypt,
    DecryptGood,
    DecryptDamaged,
}

const ASKS: [Ask; 3] = [Ask::Encrypt, Ask::DecryptGood, Ask::DecryptDamaged];

impl Ask {
    fn function(self) -> Function {
        match self {
            Self::Encrypt => Function::Encrypt,
            Self::DecryptGood | Self::DecryptDamaged => Function::Decrypt,
        }
    }
}

/// The requests that the HSM fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scope {
    /// The next request.
    Once,
    /// All requests with the key of the row.
    ThisKey,
    /// All requests with any key, including the health key.
    AllKeys,
}

const SCOPES: [Scope; 3] = [Scope::Once, Scope::ThisKey, Scope::AllKeys];

/// The results of a request and of the HSM.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// `ok`, or the name of the exception without `Exception`.
    answer: String,
    /// True if the HSM was closed and reopened.
    is_reopened: bool,
    /// True if the next request for a different key succeeded.
    others_work: bool,
}

impl Outcome {
    /// Returns whether the attribution is right: the HSM only if all keys fail, the ciphertext only if the HSM works with the key.
    fn is_right(&self, code: u64, ask: Ask, scope: Scope) -> bool {
        let answer = match (scope, ask) {
            (Scope::Once, Ask::Encrypt | Ask::DecryptGood) => "ok",
            (Scope::Once, Ask::DecryptDamaged) => "InvalidCiphertext",
            (Scope::ThisKey, _) if is_about_the_key(code) => "InvalidKeyUsage",
            (Scope::ThisKey | Scope::AllKeys, _) => "Internal",
        };
        let fails_all = scope == Scope::AllKeys;
        self.answer == answer && self.is_reopened == fails_all && self.others_work != fails_all
    }

    fn text(&self) -> String {
        let hsm = match (self.is_reopened, self.others_work) {
            (false, true) => "",
            (true, _) => "!",
            (false, false) => "?",
        };
        format!("{}{hsm}", self.answer)
    }
}

/// One cell of the table.
struct Cell {
    ask: Ask,
    scope: Scope,
    outcome: Outcome,
}

/// One code in each scope.
struct Row {
    code: u64,
    name: &'static str,
    cells: Vec<Cell>,
}

impl Row {
    /// The text of all results in one scope.
    fn texts(&self, scope: Scope) -> String {
        let cells = self.cells.iter().filter(|cell| cell.scope == scope);
        let texts: Vec<String> = cells.map(|cell| cell.outcome.text()).collect();
        texts.join(" ")
    }

    fn wrong(&self) -> impl Iterator<Item = String> {
        let is_wrong = |cell: &&Cell| !cell.outcome.is_right(self.code, cell.ask, cell.scope);
        self.cells.iter().filter(is_wrong).map(|cell| {
            let Cell {
                ask,
                scope,
                outcome,
            } = cell;
            format!("{} {scope:?} {ask:?}: {outcome:?}", self.name)
        })
    }
}

/// A proxy with an HSM, which tests several rows one by one.
struct Worker {
    proxy: Proxy,
    control: Control,
    good: Value,
    replacements: usize,
}

impl Worker {
    fn start(rows: usize) -> Self {
        let (proxy, control) = faulty_with(|setup| {
            // A health check could get the injected code instead of the request.
            setup.set("health", "interval", "\"45s\"");
            let count = rows.to_string();
            setup
                .token
                .tool("key", &["--label", "row", "--count", &count]);
            let keys = (1..=rows).map(|n| format!("[[key_store.key]]\nid = \"{}\"\n", key(n)));
            let keys: String = keys.collect();
            setup.edit(FIRST_KEY, &format!("{keys}{FIRST_KEY}"));
        });
        let good = decrypt_body(&proxy.caller(&PAYMENTS).encrypt("orders", b"x"));
        Self {
            proxy,
            control,
            good,
            replacements: 0,
        }
    }

    /// Tests one row of the table, with the key of this number.
    fn row(&mut self, number: usize, code: u64, name: &'static str) -> Row {
        let key = key(number);
        let key_body = decrypt_body(&self.proxy.caller(&PAYMENTS).encrypt(&key, b"x"));
        let orders_body = self.good.clone();
        let mut cells = Vec::new();
        for scope in SCOPES {
            for ask in ASKS {
                let (key, good) = match scope {
                    Scope::ThisKey => (key.as_str(), &key_body),
                    Scope::Once | Scope::AllKeys => ("orders", &orders_body),
                };
                let outcome = self.outcome(key, good, code, ask, scope);
                cells.push(Cell {
                    ask,
                    scope,
                    outcome,
                });
            }
        }
        Row { code, name, cells }
    }

    fn outcome(&mut self, key: &str, good: &Value, code: u64, ask: Ask, scope: Scope) -> Outcome {
        let before = self.closings();
        let count = match scope {
            Scope::Once => 1,
            Scope::ThisKey | Scope::AllKeys => FOREVER,
        };
        if scope == Scope::ThisKey {
            self.control.fail_only_key(key);
        }
        self.control.fail_next(ask.function(), code, count);
        let answer = answer(&self.proxy, key, ask, good);
        let others_work = answer_of_others(&self.proxy, ask, &self.good);
        self.control.clear_faults();
        let is_reopened = self.closings() > before;
        if is_reopened {
            self.replace_device();
        }
        Outcome {
            answer,
            is_reopened,
            others_work,
        }
    }

    /// The number of times that the HSM stopped serving.
    fn closings(&self) -> f64 {
        let count = |to| {
            let labels = [("hsm", "hsm-a"), ("to", to)];
            self.proxy.metric("xks_hsm_transitions_total", &labels)
        };
        count("probing").unwrap_or_default() + count("failed").unwrap_or_default()
    }

    /// Changes the settings of the HSM, which resets its failures. Otherwise the proxy would pause before it reopens an HSM that has failed
    /// twice within a second, and would reject all requests during the pause.
    fn replace_device(&mut self) {
        self.replacements += 1;
        let sessions = (2 + self.replacements % 2).to_string();
        self.proxy
            .reconfigure(|setup| setup.set("hsm", "sessions", &sessions));
        eventually("the HSM with the new settings", || {
            let log = self.proxy.daemon.log();
            let taken_over =
                |line: &&String| line.contains("the new settings of the HSM are active");
            (log.iter().filter(taken_over).count() == self.replacements).then_some(())
        });
        await_service(&self.proxy.caller(&PAYMENTS), &self.good);
    }
}

fn key(number: usize) -> String {
    format!("row-{number:04}")
}

fn answer(proxy: &Proxy, key: &str, ask: Ask, good: &Value) -> String {
    let payments = proxy.caller(&PAYMENTS);
    let damaged = set(good, "authenticationTag", base64([0; 16]));
    let response = match ask {
        Ask::Encrypt => payments.call("encrypt", key, &encrypt_body(b"x")),
        Ask::DecryptGood => payments.call("decrypt", key, good),
        Ask::DecryptDamaged => payments.call("decrypt", key, &damaged),
    };
    let name = response.json()["errorName"]
        .as_str()
        .unwrap_or("ok")
        .to_owned();
    name.trim_end_matches("Exception").to_owned()
}

/// Returns whether the same operation works with a key that no row uses.
fn answer_of_others(proxy: &Proxy, ask: Ask, good: &Value) -> bool {
    let ask = match ask {
        Ask::Encrypt => Ask::Encrypt,
        Ask::DecryptGood | Ask::DecryptDamaged => Ask::DecryptGood,
    };
    answer(proxy, "orders", ask, good) == "ok"
}

/// Tests the rows of one thread, with their positions in the table: each [`WORKERS`]th row, starting with `first`.
fn work(first: usize) -> Vec<(usize, Row)> {
    let places: Vec<usize> = (first..CODES.len()).step_by(WORKERS).collect();
    let mut worker = Worker::start(places.len());
    let mut rows = Vec::new();
    for (place, number) in places.into_iter().zip(1..) {
        let (code, name) = CODES[place];
        rows.push((place, worker.row(number, code, name)));
    }
    if rows.iter().any(|(_, row)| row.wrong().next().is_some()) {
        eprintln!("{}", worker.proxy.daemon.log().join("\n"));
    }
    rows
}

#[test]
fn errors_are_attributed_correctly_for_every_return_code() {
    let rows = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for first in 0..WORKERS {
            let rows = &rows;
            scope.spawn(move || {
                let done = work(first);
                rows.lock().unwrap().extend(done);
            });
        }
    });
    let rows = rows.into_inner().unwrap();
    assert_eq!(rows.len(), CODES.len());
    eprintln!(
        "once: the HSM fails the next call; this key: every call with one key; all keys: every call"
    );
    eprintln!(
        "in each: encrypt, decrypt a good ciphertext, decrypt a damaged one; !: the HSM is opened again\n"
    );
    eprintln!("{:34} {:34} {:50} all keys", "code", "once", "this key");
    for row in rows.values() {
        let [once, this_key, all_keys] = SCOPES.map(|scope| row.texts(scope));
        eprintln!("{:34} {once:34} {this_key:50} {all_keys}", row.name);
    }
    let wrong: Vec<String> = rows.values().flat_map(Row::wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
