//! Each result and each reason of the classification, and the name constraints of CAs.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, NameConstraints, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;

use super::*;

const KMS: &str = "cks.kms.eu-west-1.amazonaws.com";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn named(common_name: Option<&str>, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    if let Some(name) = common_name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = named(Some(name), &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn root(change: impl FnOnce(&mut CertificateParams)) -> Issuer {
    let mut params = ca_params("root");
    change(&mut params);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(root: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> Issuer {
    let mut params = ca_params("intermediate");
    change(&mut params);
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), root).unwrap()
}

fn constrained(permitted: &[&str], excluded: &[&str]) -> NameConstraints {
    let subtrees_of = |names: &[&str]| {
        let subtrees = names
            .iter()
            .map(|name| GeneralSubtree::DnsName(name.to_string()));
        subtrees.collect()
    };
    NameConstraints {
        permitted_subtrees: subtrees_of(permitted),
        excluded_subtrees: subtrees_of(excluded),
    }
}

/// Returns a client certificate with these names and these changes.
fn leaf(
    issuer: &Issuer,
    (common_name, names): (Option<&str>, &[&str]),
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateDer<'static> {
    let mut params = named(common_name, names);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, issuer).unwrap().der().clone()
}

fn classify(
    root: &Issuer,
    leaf: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
) -> (ClientCertificate, Reason) {
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    let expected = Expected::new(&roots, vec![KMS.to_owned()], algorithms);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = UnixTime::since_unix_epoch(now.unwrap_or(Duration::ZERO));
    let finding = expected.classify(leaf, chain, now);
    assert_eq!(
        finding.text.is_empty(),
        finding.reason == Reason::None,
        "{finding:?}"
    );
    (finding.result, finding.reason)
}

const VERIFIED: (ClientCertificate, Reason) = (ClientCertificate::Verified, Reason::None);
const SERVER_ONLY: (ClientCertificate, Reason) = (ClientCertificate::ServerAuthOnly, Reason::Eku);

fn unverified(reason: Reason) -> (ClientCertificate, Reason) {
    (ClientCertificate::Unverified, reason)
}

const BOTH: (Option<&str>, &[&str]) = (Some(KMS), &[KMS]);

#[test]
fn the_subject_is_the_common_name_or_an_alternative_name() {
    let root = root(|_| {});
    let result = |common_name, names: &[&str]| {
        classify(&root, &leaf(&root, (common_name, names), |_| {}), &[])
    };
    assert_eq!(result(Some(KMS), &[KMS]), VERIFIED);
    assert_eq!(result(Some(KMS), &[]), VERIFIED);
    assert_eq!(result(None, &[KMS]), VERIFIED);
    assert_eq!(result(Some("other"), &["a.test", KMS]), VERIFIED);
    assert_eq!(result(Some("other"), &[&KMS.to_uppercase()]), VERIFIED);
    for (common_name, names) in [
        (Some("cks.kms.us-east-1.amazonaws.com"), &[][..]),
        (None, &["cks.kms.us-east-1.amazonaws.com"]),
        (None, &["*.kms.eu-west-1.amazonaws.com"]),
        (Some("x.cks.kms.eu-west-1.amazonaws.com"), &["cks"]),
        (None, &[]),
    ] {
        let found = result(common_name, names);
        assert_eq!(
            found,
            unverified(Reason::Subject),
            "{common_name:?} {names:?}"
        );
    }
}

#[test]
fn a_certificate_that_lacks_only_client_auth_is_server_auth_only() {
    let root = root(|_| {});
    let usages = |usages: Vec<ExtendedKeyUsagePurpose>, names| {
        let leaf = leaf(&root, names, |params| params.extended_key_usages = usages);
        classify(&root, &leaf, &[])
    };
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, ServerAuth};
    assert_eq!(usages(vec![ClientAuth, ServerAuth], BOTH), VERIFIED);
    assert_eq!(usages(vec![], BOTH), VERIFIED);
    assert_eq!(usages(vec![ServerAuth], BOTH), SERVER_ONLY);
    assert_eq!(usages(vec![CodeSigning], BOTH), unverified(Reason::Eku));
    // webpki does not accept anyExtendedKeyUsage as clientAuth.
    assert_eq!(usages(vec![Any], BOTH), unverified(Reason::Eku));
    let wrong = (Some("someone-else"), &[][..]);
    assert_eq!(usages(vec![ServerAuth], wrong), unverified(Reason::Subject));
}

#[test]
fn a_certificate_of_an_intermediate_for_servers_is_server_auth_only() {
    let root = root(|_| {});
    let ca = intermediate(&root, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let both = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let leaf = leaf(&ca, BOTH, |params| params.extended_key_usages = both);
    let chain = [ca.der().clone()];
    assert_eq!(classify(&root, &leaf, &chain), SERVER_ONLY);
    assert_eq!(
        classify(&root, &leaf, &[]),
        unverified(Reason::UnknownCa),
        "without the intermediate"
    );
}

#[test]
fn each_reason_is_distinguished() {
    let root = root(|_| {});
    let expired = leaf(&root, BOTH, |params| {
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
    });
    assert_eq!(classify(&root, &expired, &[]), unverified(Reason::Expired));
    let early = leaf(&root, BOTH, |params| {
        (params.not_before, params.not_after) =
            (date_time_ymd(3000, 1, 1), date_time_ymd(3000, 2, 1));
    });
    assert_eq!(
        classify(&root, &early, &[]),
        unverified(Reason::NotYetValid)
    );
    let expired_server = leaf(&root, BOTH, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        (params.not_before, params.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 2, 1));
    });
    let found = classify(&root, &expired_server, &[]);
    assert_eq!(found, unverified(Reason::Expired), "not only the key usage");
    // A CA with the same name is a different CA.
    for other in [self::root(|_| {}), intermediate(&root, |_| {})] {
        let found = classify(&root, &leaf(&other, BOTH, |_| {}), &[]);
        assert_eq!(found, unverified(Reason::UnknownCa));
    }
    let garbage = CertificateDer::from(vec![0x30, 3, 1, 2, 3]);
    assert_eq!(classify(&root, &garbage, &[]), unverified(Reason::Other));
}

/// Classifies a certificate whose root has these constraints, and one whose intermediate has them. Both have the same result.
fn under_constraints(
    constraints: NameConstraints,
    names: (Option<&str>, &[&str]),
) -> (ClientCertificate, Reason) {
    let copy = constraints.clone();
    let constrained_root = root(|params| params.name_constraints = Some(copy));
    let found = classify(
        &constrained_root,
        &leaf(&constrained_root, names, |_| {}),
        &[],
    );
    let free = root(|_| {});
    let ca = intermediate(&free, |params| params.name_constraints = Some(constraints));
    let below = classify(&free, &leaf(&ca, names, |_| {}), &[ca.der().clone()]);
    assert_eq!(found, below, "root and intermediate differ");
    found
}

#[test]
fn name_constraints_hold_for_the_common_name_and_for_alternative_names() {
    let only_common_name = (Some(KMS), &[][..]);
    let only_alternative = (None, &[KMS][..]);
    for names in [only_common_name, only_alternative, BOTH] {
        for (permitted, excluded, holds) in [
            (&["amazonaws.com"][..], &[][..], true),
            (&["bank.example"], &[], false),
            (&["bank.example", "amazonaws.com"], &[], true),
            (&[], &["amazonaws.com"], false),
            (&[], &["bank.example"], true),
            (&["amazonaws.com"], &["eu-west-1.amazonaws.com"], false),
        ] {
            let found = under_constraints(constrained(permitted, excluded), names);
            let expected = match holds {
                true => VERIFIED,
                false => unverified(Reason::Subject),
            };
            assert_eq!(found, expected, "{names:?} {permitted:?} {excluded:?}");
        }
    }
}

#[test]
fn a_leaf_has_its_expiry_and_its_key_usage() {
    let root = root(|_| {});
    let client = leaf(&root, BOTH, |params| {
        params.not_after = date_time_ymd(2031, 1, 1)
    });
    let parsed = Leaf::of(&client).unwrap();
    assert_eq!(
        (parsed.not_after, parsed.is_for_clients),
        (1_924_992_000, true)
    );
    let server = leaf(&root, BOTH, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(!Leaf::of(&server).unwrap().is_for_clients);
    assert_eq!(Leaf::of(&CertificateDer::from(vec![1])), None);
}
