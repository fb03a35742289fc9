//! Debian's Prometheus scrapes a running proxy with the shipped rules and scaled durations. Every alert fires when its condition occurs and
//! clears afterwards. No panel of the dashboard is empty.

mod dashboard;
mod server;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::Signal;
use rustls::ALL_VERSIONS;

use crate::harness::balancer::{Balancer, ENDPOINT, require};
use crate::harness::control::{Control, FOREVER, Function, Lie};
use crate::harness::http::tcp;
use crate::harness::http::{Connection, Request};
use crate::harness::load::Stop;
use crate::harness::metrics::eventually;
use crate::harness::outage::two_faulty;
use crate::harness::pki::{Identity, KMS_SUBJECT, tls_client};
use crate::harness::setup::Setup;
use crate::harness::wire::{encrypt_body, plain_body};
use crate::harness::{PAYMENTS, PAYMENTS_NEXT, Proxy, StoreName};
use crate::lifecycle::panics::{fragile, panic_in_a_request};
use server::Prometheus;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");

const CKR_DEVICE_ERROR: u64 = 0x30;

/// The behaviour of the load. If all flags are `false`, no rotation is in progress and the clock is right.
#[derive(Default)]
struct Load {
    is_over: AtomicBool,
    is_skewed: AtomicBool,
    uses_both: AtomicBool,
    /// True if requests use a key that does not support the operations of KMS.
    misuses: AtomicBool,
}

impl Load {
    /// Sends requests until the load is over. Responses are ignored, because parts of the system are usually broken.
    fn run(&self, proxy: &Proxy) {
        while !self.is_over.load(Ordering::Relaxed) {
            self.call(proxy, &PAYMENTS);
            if self.misuses.load(Ordering::Relaxed) {
                let payments = proxy.caller(&PAYMENTS);
                let request = payments.request("encrypt", "aes128", encrypt_body(b"x").to_string());
                send(proxy, &request);
            }
            if self.uses_both.load(Ordering::Relaxed) {
                self.call(proxy, &PAYMENTS_NEXT);
            }
        }
    }

    fn call(&self, proxy: &Proxy, store: &'static StoreName) {
        let mut caller = proxy.caller(store);
        if self.is_skewed.load(Ordering::Relaxed) {
            caller.signer = caller.signer.shifted(-2);
        }
        let request = caller.request("encrypt", "orders", encrypt_body(b"x").to_string());
        send(proxy, &request);
    }
}

fn send(proxy: &Proxy, request: &Request) {
    // The proxy may close a new connection when it has too many connections of strangers.
    if let Ok(mut connection) = proxy.try_connect()
        && connection.send(&request.bytes()).is_ok()
    {
        drop(connection.try_response());
    }
}

/// All parts of the system that the test breaks.
struct Scene<'a> {
    proxy: &'a Proxy,
    prometheus: &'a Prometheus,
    load: &'a Load,
    devices: [&'a Control; 2],
    filler: PathBuf,
    /// The file that makes the disk slow.
    switch: &'a Path,
}

#[test]
fn the_shipped_rules_pass_their_unit_tests() {
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "tests/alerts.yml"],
        ["test", "rules", "tests/credentials.yml"],
    ] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(SHIPPED)
            .output()
            .expect("promtool is missing: run tests/run, or install the package prometheus");
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stdout}{stderr}");
    }
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let read = |name: &str| fs::read_to_string(format!("{SHIPPED}/tests/{name}")).unwrap();
    let cases = read("alerts.yml") + &read("credentials.yml");
    for alert in server::alerts() {
        for end in ["fires", "is quiet"] {
            let name = format!("- name: {alert} {end}");
            assert!(cases.contains(&name), "no case {name:?}");
        }
    }
}

#[test]
fn every_alert_links_to_a_runbook_that_exists() {
    let rules = fs::read_to_string(format!("{SHIPPED}/alerts.rules.yml")).unwrap();
    assert!(
        rules.contains("record: xks:documents:info") && rules.contains("{base_url: \"https://")
    );
    let base = "'{{ query \"xks:documents:info\" | first | label \"base_url\" }}/";
    let links = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook_url: "));
    let links: Vec<&str> = links.collect();
    let alerts = server::alerts();
    assert_eq!(links.len(), alerts.len());
    for (link, alert) in links.iter().zip(&alerts) {
        let target = link
            .strip_prefix(base)
            .and_then(|link| link.strip_suffix('\''));
        let (path, anchor) = target
            .unwrap_or_else(|| panic!("{link}"))
            .split_once('#')
            .unwrap();
        assert_eq!(anchor, alert.to_lowercase());
        let document = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
        let document = fs::read_to_string(document).unwrap();
        let heading = format!("### {alert}");
        assert!(
            document.lines().any(|line| line == heading),
            "{path}: {heading}"
        );
    }
}

#[test]
fn every_alert_fires_and_clears() {
    let mut switch = PathBuf::new();
    let mut clock = None;
    let (mut proxy, a, b) = two_faulty(|setup| {
        let checkpoint = "checkpoint = { lines = 5, interval = \"1s\", seal_timeout = \"200ms\" }";
        // plain-english: quotation of a value in the configuration
        setup.audit_on_a_disk(16 << 10, &format!("on_failure = \"refuse\"\n{checkpoint}"));
        switch = setup.slow_disk();
        setup.set("server.limits", "max_body", "\"16MiB\"");
        setup.set("server.limits", "max_unverified", "16");
        // Other tests use ports of 127.0.0.1, so none of them takes this port between the end of the process and its restart.
        setup.set("admin", "listen", "\"127.0.0.2:0\"");
        let identity = setup.authority.misnamed_server_that_ends_in(5);
        setup.server_identity(&identity);
        deny_metadata(setup);
        clock = Some(fragile(setup));
    });
    let prometheus = Prometheus::start(&proxy);
    eventually("a scrape before the panic", || {
        let up = prometheus.query("xks_panics_total");
        (!up.is_empty()).then_some(())
    });
    panic_in_a_request(&proxy, &clock.unwrap());
    prometheus.await_fired(&["XksPanic"]);
    let load = Load::default();
    let filler = proxy.setup.directory.join("disk/filler");
    thread::scope(|scope| {
        let scene = Scene {
            proxy: &proxy,
            prometheus: &prometheus,
            load: &load,
            devices: [&a, &b],
            filler: format!("/proc/{}/root{}", proxy.daemon.front(), filler.display()).into(),
            switch: &switch,
        };
        let stop = Stop(&load.is_over);
        scope.spawn(|| load.run(&proxy));
        scene.neglect();
        scene.displace_connections();
        scene.change();
        scene.break_down();
        scene.slow_down();
        await_denials(&proxy, &prometheus);
        prometheus.assert_no_panel_is_empty();
        scene.recover();
        drop(stop);
    });
    replace_process(&mut proxy, &prometheus);
    for alert in server::alerts() {
        let is_provoked = is_balancer_alert(&alert) || prometheus.has_fired(&alert);
        assert!(is_provoked, "{alert} was never provoked");
    }
}

/// Makes a denied request. Returns when Prometheus has its rate, which needs two scrapes of the new series.
fn await_denials(proxy: &Proxy, prometheus: &Prometheus) {
    let denied = proxy.caller(&PAYMENTS);
    denied.call("metadata", "orders", &plain_body("metadata"));
    eventually("a rate of denials", || {
        let denials = "rate(xks_policy_decisions_total{decision=\"denied\"}[1m])";
        (!prometheus.query(denials).is_empty()).then_some(())
    });
}

/// Adds a policy that permits everything except GetKeyMetadata.
fn deny_metadata(setup: &mut Setup) {
    let directory = setup.directory.join("policy");
    fs::create_dir(&directory).unwrap();
    let rules = "permit(principal, action in Xks::Action::\"Use\", resource);";
    fs::write(directory.join("rules.cedar"), rules).unwrap();
    let table = format!("[policy]\nengine = \"cedar\"\npath = {directory:?}\n");
    setup.edit("[server]\n", &format!("{table}[server]\n"));
}

/// The alerts of [`alerts_about_load_balancers_fire_and_clear`].
const BALANCER_ALERTS: [&str; 2] = ["XksProxyProtocolFailing", "XksVpcEndpointRefused"];

fn is_balancer_alert(alert: &str) -> bool {
    BALANCER_ALERTS.contains(&alert)
}

#[test]
fn alerts_about_load_balancers_fire_and_clear() {
    let mut proxy = Proxy::start_with(|setup| {
        require(setup);
        let list = format!("allowed_vpc_endpoints = [\"{ENDPOINT}\"]");
        setup.in_store(
            &PAYMENTS,
            &format!("{list}\nvpc_endpoint_mode = \"enforce\""),
        );
    });
    let prometheus = Prometheus::start(&proxy);
    let [failing, rejected] = BALANCER_ALERTS;
    eventually("connections without a balancer", || {
        assert!(proxy.try_connect().is_err(), "no trusted source");
        prometheus.has_fired(failing).then_some(())
    });
    let balancer = Balancer::before(&mut proxy);
    let ask = || {
        let body = plain_body("health");
        proxy.caller(&PAYMENTS).call("health", "", &body).status
    };
    balancer.say(Some("vpce-ffffffffffffffff0"), None);
    eventually("requests of another endpoint", || {
        assert_eq!(ask(), 401);
        prometheus.has_fired(rejected).then_some(())
    });
    balancer.say(Some(ENDPOINT), None);
    assert_eq!(ask(), 200);
    prometheus.await_quiet(&BALANCER_ALERTS);
}

impl Scene<'_> {
    /// Sends a request with a wrong secret.
    fn intrude(&self) {
        let mut stranger = self.proxy.caller(&PAYMENTS);
        stranger.signer.secret = "A".repeat(43);
        stranger.call("health", "", &plain_body("health"));
    }

    /// Leaves a rotation unfinished, lets a certificate expire and clocks differ, and uses one key very often.
    fn neglect(&self) {
        self.intrude();
        self.load.uses_both.store(true, Ordering::Relaxed);
        self.load.is_skewed.store(true, Ordering::Relaxed);
        self.prometheus.await_fired(&[
            "XksCertificateExpires",
            "XksCertificateExpiresSoon",
            "XksCertificateProblem",
            "XksOldCredentialInUse",
            "XksEncryptionsNearBound",
            "XksClockSkew",
            "XksKeyMissing",
            "XksKeyUnusable",
        ]);
        self.misuse();
        self.fill_with_bodies();
        self.reject_a_key();
        self.load.uses_both.store(false, Ordering::Relaxed);
        self.load.is_skewed.store(false, Ordering::Relaxed);
        let authority = &self.proxy.setup.authority;
        self.put_certificate(&authority.server_that_ends_in(90));
        self.prometheus.await_quiet(&[
            "XksCertificateExpires",
            "XksCertificateExpiresSoon",
            "XksCertificateProblem",
            "XksPanic",
        ]);
    }

    /// Makes KMS receive final errors for one key.
    fn misuse(&self) {
        self.load.misuses.store(true, Ordering::Relaxed);
        self.prometheus.await_fired(&["XksFinalErrors"]);
        self.load.misuses.store(false, Ordering::Relaxed);
        self.prometheus.await_quiet(&["XksFinalErrors"]);
    }

    fn put_certificate(&self, identity: &Identity) {
        let setup = &self.proxy.setup;
        setup.write_private("server.pem", &identity.certificate_pem);
        setup.write_private("server.key", &identity.key_pem);
    }

    /// Changes files so that some changes cannot take effect.
    fn change(&self) {
        let setup = &self.proxy.setup;
        let good = setup.toml();
        self.put_certificate(&setup.authority.expired_server());
        setup.replace_by(&good.replace("format = \"json\"", "format = \"text\""));
        let alerts = ["XksCertificateReloadFailing", "XksReloadNotApplied"];
        self.prometheus.await_fired(&alerts);
        self.put_certificate(&setup.authority.server_that_ends_in(90));
        setup.replace_by(&good);
        self.prometheus.await_quiet(&alerts);
        self.present_certificates();
    }

    /// Sends a client certificate, and then none: first with mode `optional`, then with `required`.
    fn present_certificates(&self) {
        let setup = &self.proxy.setup;
        let good = setup.toml();
        let ca = setup.write_private("client-ca.pem", &setup.client_authority.pem());
        let mode = |mode: &str| {
            let table = format!("mode = {mode:?}\nca = {ca:?}\nsubjects = [{KMS_SUBJECT:?}]");
            format!("{good}\n[server.tls.client_auth]\n{table}\n")
        };
        setup.replace_by(&mode("optional"));
        let identity = setup.client_authority.client(KMS_SUBJECT);
        let client = tls_client(
            setup.authority.der(),
            ALL_VERSIONS,
            Some(&identity),
            &["http/1.1"],
        );
        eventually("a verified client", || {
            Connection::open(self.proxy.server, Arc::clone(&client)).ok();
            let labels = [("result", "verified")];
            let count = self.proxy.metric("xks_client_certificates_total", &labels);
            (count > Some(0.0)).then_some(())
        });
        self.prometheus
            .await_fired(&["XksClientCertificateChanged"]);
        setup.replace_by(&mode("required"));
        self.prometheus
            .await_fired(&["XksClientCertificateMissing"]);
        setup.replace_by(&good);
        self.prometheus
            .await_quiet(&["XksClientCertificateChanged", "XksClientCertificateMissing"]);
    }

    /// Makes both HSMs reject one key.
    fn reject_a_key(&self) {
        for device in self.devices {
            device.fail_only_key("ledger-key");
            device.fail_next(Function::Encrypt, CKR_DEVICE_ERROR, FOREVER);
        }
        eventually("XksKeyRejected fires", || {
            let payments = self.proxy.caller(&PAYMENTS);
            payments.call("encrypt", "ledger", &encrypt_body(b"x"));
            self.prometheus.has_fired("XksKeyRejected").then_some(())
        });
        self.devices.iter().for_each(|device| device.clear_faults());
        self.prometheus.await_quiet(&["XksKeyRejected"]);
    }

    /// A stranger announces more long bodies than one source may send at the same time.
    fn fill_with_bodies(&self) {
        let unsigned = self.proxy.caller(&PAYMENTS).unsigned("health", "", "");
        let head = unsigned.with("content-length", "16000000").head();
        let client = || Arc::clone(&self.proxy.client);
        let source = Ipv4Addr::new(127, 0, 0, 2);
        let connections: Vec<Connection> = (0..5)
            .map(|_| {
                let mut connection =
                    Connection::open_from(source, self.proxy.server, client()).unwrap();
                connection.send(&head).unwrap();
                connection
            })
            .collect();
        self.prometheus.await_fired(&["XksUnverifiedRefused"]);
        drop(connections);
    }

    /// A stranger with the address of KMS opens more connections than the limit.
    fn displace_connections(&self) {
        let sockets: Vec<_> = (0..40).map(|_| tcp(self.proxy.server).unwrap()).collect();
        self.prometheus.await_fired(&["XksConnectionsDisplaced"]);
        drop(sockets);
        self.prometheus.await_quiet(&["XksConnectionsDisplaced"]);
    }

    /// Removes one HSM, writes a wrong configuration, and fills the disk of the audit trail, so that every request is rejected.
    fn break_down(&self) {
        self.intrude();
        let good = self.proxy.setup.toml();
        self.proxy.setup.replace_by("not a configuration");
        self.devices[0].set_removed(true);
        fs::write(&self.filler, vec![0; 32 << 20]).expect_err("a full disk");
        self.prometheus.await_fired(&[
            "XksHsmDown",
            "XksOnlyOneHsmLeft",
            "XksReloadFailing",
            "XksCredentialIdle",
            "XksAuditFailing",
            "XksRetryableErrors",
            "XksErrorBudgetBurnsFast",
            "XksErrorBudgetBurnsSlowly",
        ]);
        self.devices[0].clear_faults();
        fs::remove_file(&self.filler).unwrap();
        self.proxy.setup.replace_by(&good);
        self.prometheus
            .await_quiet(&["XksAuditFailing", "XksHsmDown"]);
        self.deceive();
    }

    /// Makes one HSM return tags of zeros. The operator then removes the HSM and adds it again.
    fn deceive(&self) {
        self.devices[1].lie(Lie::ZeroTag, FOREVER);
        self.prometheus.await_fired(&["XksHsmUntrusted"]);
        self.devices[1].clear_faults();
        let both = self.proxy.setup.toml();
        let at = both.find("[[hsm]]\nname = \"hsm-b\"").unwrap();
        self.proxy.setup.replace_by(&both[..at]);
        self.prometheus.await_quiet(&["XksHsmUntrusted"]);
        self.proxy.setup.replace_by(&both);
        self.prometheus.await_quiet(&["XksHsmDown"]);
    }

    /// Makes the disk of the audit trail slow, and then both HSMs.
    fn slow_down(&self) {
        fs::write(self.switch, "200").unwrap();
        self.prometheus.await_fired(&["XksAuditSlow"]);
        fs::remove_file(self.switch).unwrap();
        self.prometheus.await_quiet(&["XksAuditSlow"]);
        for device in self.devices {
            device.set_delay(Function::Encrypt, 400_000);
        }
        self.prometheus
            .await_fired(&["XksLatencyHigh", "XksAuditUnsealed"]);
        for device in self.devices {
            device.clear_faults();
        }
    }

    /// Waits until Prometheus reports that all alerts have cleared.
    fn recover(&self) {
        self.load.uses_both.store(true, Ordering::Relaxed);
        self.prometheus.await_quiet(&["XksCredentialIdle"]);
        self.load.uses_both.store(false, Ordering::Relaxed);
        self.prometheus.await_quiet(&[
            "XksOldCredentialInUse",
            "XksClockSkew",
            "XksOnlyOneHsmLeft",
            "XksReloadFailing",
            "XksRetryableErrors",
            "XksLatencyHigh",
            "XksErrorBudgetBurnsFast",
            "XksErrorBudgetBurnsSlowly",
            "XksUnverifiedRefused",
        ]);
    }
}

/// Stops the process with a signal, and then replaces it by a new one, which has encrypted nothing yet.
fn replace_process(proxy: &mut Proxy, prometheus: &Prometheus) {
    proxy.daemon.signal_front(Signal::STOP);
    prometheus.await_fired(&["XksProxyDown"]);
    let admin = format!("{:?}", proxy.admin.to_string());
    proxy.setup.set("admin", "listen", &admin);
    proxy.kill_and_start_again();
    prometheus.await_quiet(&["XksProxyDown", "XksEncryptionsNearBound"]);
    proxy.kill_and_start_again();
    prometheus.await_fired(&["XksRestarts"]);
    prometheus.await_quiet(&["XksRestarts"]);
    eventually("a scrape of the new process", || {
        let up = prometheus.query("up == 1");
        (!up.is_empty()).then_some(())
    });
}
