//! `[server.limits]` and `[log]`.

use super::{GOOD, faults, load_text};

#[test]
fn limits_of_connections_without_effect_are_warned_about() {
    for (limits, warning) in [
        ("max_unverified_per_source = 600", "is above max_unverified"),
        ("max_unverified = 31", "is above max_unverified"),
        ("shared_sources = [\"0.0.0.0/0\"]", "has every address"),
    ] {
        let limits = format!("[server.limits]\n{limits}\n[server.tls]");
        let loaded = load_text(&GOOD.replace("[server.tls]", &limits)).unwrap();
        let [found] = &loaded.warnings[..] else {
            panic!("{:?}", loaded.warnings);
        };
        assert!(found.message.contains(warning), "{found}");
        assert!(found.line.is_some());
    }
    let limits = "[server.limits]\nshared_sources = [\"10.0.0.0/8\"]\n[server.tls]";
    let loaded = load_text(&GOOD.replace("[server.tls]", limits)).unwrap();
    let shared = loaded.configuration.server.shared_sources;
    assert!(shared.contain([10, 1, 2, 3].into()) && loaded.warnings.is_empty());
}

#[test]
fn successes_are_sampled_by_a_share() {
    for (share, expected) in [("0.01", 0.01), ("0", 0.0), ("1", 1.0), ("1e-3", 0.001)] {
        let log = format!("[log]\nsample_successes = {share}\n[[hsm]]");
        let loaded = load_text(&GOOD.replace("[[hsm]]", &log)).unwrap();
        assert_eq!(loaded.configuration.access_log_sample.share(), expected);
    }
    let whole = load_text(GOOD).unwrap().configuration.access_log_sample;
    assert_eq!(whole, crate::server::Sample::ALL);
}

#[test]
fn otlp_is_for_builds_that_have_it() {
    let with = |endpoint: &str| format!("[log.otlp]\nendpoint = {endpoint:?}\n[[hsm]]");
    let outcome = load_text(&GOOD.replace("[[hsm]]", &with("http://127.0.0.1:4318")));
    match outcome {
        Ok(loaded) if cfg!(feature = "otlp") => {
            let collector = loaded.configuration.log.otlp.unwrap();
            assert_eq!(collector.authority, "127.0.0.1:4318");
        }
        Err(faults) if !cfg!(feature = "otlp") => {
            let fault = faults.to_string();
            assert!(
                fault.contains("log.otlp: this build has no OTLP"),
                "{fault}"
            );
        }
        other => panic!("{other:?}"),
    }
    let wrong = faults("[[hsm]]", &with("https://collector"));
    assert!(
        wrong.contains("log.otlp.endpoint: \"https://collector\" is not an http://"),
        "{wrong}"
    );
    let missing = faults("[[hsm]]", "[log.otlp]\n[[hsm]]");
    assert!(
        missing.contains("log.otlp.endpoint: is missing"),
        "{missing}"
    );
}
