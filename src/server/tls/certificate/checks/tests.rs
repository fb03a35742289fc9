//! Each rule, on certificates that are generated for it.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};

/// 2026-01-01. The certificates of these tests are valid from 2025 to the middle of 2026.
const NOW: i64 = 1_767_225_600;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str, issuer: Option<&Issuer>) -> Issuer {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    match issuer {
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
    }
}

fn params(common_name: &str, alternative: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![alternative.to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2025, 8, 1);
    params.not_after = date_time_ymd(2026, 6, 1);
    params
}

fn issue(params: &CertificateParams, issuer: &Issuer) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    params.signed_by(&key, issuer).unwrap().der().clone()
}

fn leaf(issuer: &Issuer) -> CertificateDer<'static> {
    issue(&params("a.example", "a.example"), issuer)
}

/// Returns the kinds of the chain's problems at the time `now`, and its warnings.
fn found_at(now: i64, chain: &[CertificateDer<'_>]) -> (Vec<&'static str>, Vec<String>) {
    let checked = CertificateChecks::of(chain).unwrap();
    let problems = checked.problems(now, &[]);
    let kinds = problems.iter().map(|problem| problem.kind.as_str());
    (kinds.collect(), checked.warnings)
}

/// Returns the kinds of problems of a complete chain whose leaf has these changes.
fn problems_with(change: impl FnOnce(&mut CertificateParams)) -> Vec<&'static str> {
    let root = ca("root", None);
    let mut params = params("a.example", "a.example");
    change(&mut params);
    let chain = [issue(&params, &root), root.der().clone()];
    found_at(NOW, &chain).0
}

#[test]
fn a_good_certificate_has_no_problem() {
    let root = ca("root", None);
    let chain = [leaf(&root), root.der().clone()];
    let (kinds, warnings) = found_at(NOW, &chain);
    assert!(kinds.is_empty(), "{kinds:?}");
    assert!(
        warnings.len() == 1 && warnings[0].contains("not in AWS's list"),
        "the root is not trusted: {warnings:?}"
    );
    assert!(CertificateChecks::of(&[]).is_err());
    assert!(CertificateChecks::of(&[vec![0].into()]).is_err());
}

#[test]
fn the_validity_is_checked_at_the_given_time() {
    let root = ca("root", None);
    let chain = [leaf(&root), root.der().clone()];
    let a_year = 366 * SECONDS_PER_DAY;
    assert_eq!(found_at(NOW + a_year, &chain).0, ["expired"]);
    assert_eq!(found_at(NOW - a_year, &chain).0, ["not_yet_valid"]);
}

#[test]
fn the_common_name_must_be_an_alternative_name() {
    assert_eq!(
        problems_with(|params| params.distinguished_name = rcgen::DistinguishedName::new()),
        ["common_name"]
    );
    let renamed = |name: &'static str, alternative: &'static str| {
        problems_with(|params| *params = super::tests::params(name, alternative))
    };
    assert_eq!(renamed("b.example", "a.example"), ["common_name"]);
    assert!(renamed("A.Example", "a.example").is_empty());
    assert!(renamed("*.a.example", "*.a.example").is_empty());
    assert!(renamed("127.0.0.1", "127.0.0.1").is_empty());
    let twice = problems_with(|params| {
        params.distinguished_name.push(
            DnType::OrganizationName,
            "an organization, which does not matter",
        );
    });
    assert!(twice.is_empty());
}

#[test]
fn the_common_name_must_cover_every_public_name() {
    let root = ca("root", None);
    let kinds = |common_name: &str, public_names: &[&str]| {
        let names: Vec<String> = public_names.iter().map(ToString::to_string).collect();
        let chain = [issue(&params(common_name, common_name), &root)];
        let problems = CertificateChecks::of(&chain).unwrap().problems(NOW, &names);
        problems
            .iter()
            .map(|problem| problem.kind.as_str())
            .collect::<Vec<_>>()
    };
    assert!(kinds("a.example", &["A.example"]).is_empty());
    assert!(kinds("*.x.example", &["a.x.example", "b.x.example"]).is_empty());
    for (common_name, public_names) in [
        ("a.example", &["b.example"][..]),
        ("a.example", &["a.example", "b.example"]),
        ("*.x.example", &["x.example"]),
        ("*.x.example", &["a.b.x.example"]),
    ] {
        assert_eq!(kinds(common_name, public_names), ["public_names"]);
    }
}

#[test]
fn a_root_in_the_chain_is_recognized_by_its_fingerprint() {
    let mut root = CertificateParams::new(vec![]).unwrap();
    let mut name = rcgen::DistinguishedName::new();
    for (part, text) in [
        (DnType::CountryName, "US"),
        (DnType::OrganizationName, "Amazon"),
        (DnType::CommonName, "Amazon Root CA 1"),
    ] {
        name.push(part, text);
    }
    root.distinguished_name = name;
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let warnings = found_at(NOW, &[leaf(&root), root.der().clone()]).1;
    assert_eq!(
        warnings.len(),
        1,
        "the name is Amazon's, the key is not: {warnings:?}"
    );
}

#[test]
fn the_certificate_must_allow_server_authentication() {
    let purposes = |purposes: Vec<ExtendedKeyUsagePurpose>| {
        problems_with(|params| params.extended_key_usages = purposes)
    };
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
    assert!(purposes(vec![ServerAuth, ClientAuth]).is_empty() && purposes(vec![Any]).is_empty());
    assert_eq!(purposes(vec![ClientAuth]), ["extended_key_usage"]);
    assert_eq!(purposes(vec![]), ["extended_key_usage"]);
}

#[test]
fn each_certificate_must_have_issued_the_previous_one() {
    let root = ca("root", None);
    let (one, two) = (ca("one", Some(&root)), ca("two", Some(&root)));
    // `again` has the same name with another key: comparing names is not enough.
    let (again, stranger) = (ca("one", Some(&root)), ca("stranger", None));
    let leaf = leaf(&one);
    let kinds = |chain: &[&CertificateDer<'_>]| {
        let chain: Vec<_> = chain.iter().map(|der| (*der).clone()).collect();
        found_at(NOW, &chain).0
    };
    assert!(kinds(&[&leaf, one.der(), root.der()]).is_empty());
    for wrong in [
        &[&leaf, root.der(), one.der()][..],
        &[&leaf, root.der()],
        &[&leaf, two.der(), root.der()],
        &[&leaf, again.der(), root.der()],
        &[&leaf, one.der(), stranger.der()],
        &[one.der(), &leaf],
    ] {
        let found = kinds(wrong);
        assert!(!found.is_empty(), "{}", wrong.len());
        assert!(
            found
                .iter()
                .all(|kind| *kind == "chain" || wrong[0] == one.der())
        );
    }
}

/// Adds the extension "authority information access" with the address of the issuer's certificate.
fn add_issuer_address(params: &mut CertificateParams) {
    let address = b"http://ca.example/ca.der";
    let mut method = vec![0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86];
    method.push(u8::try_from(address.len()).unwrap());
    method.extend_from_slice(address);
    let length = u8::try_from(method.len()).unwrap();
    let content = [&[0x30, length + 2, 0x30, length], method.as_slice()].concat();
    let extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], content);
    params.custom_extensions.push(extension);
}

#[test]
fn a_lone_leaf_of_a_public_ca_lacks_its_intermediates() {
    let root = ca("root", None);
    let mut params = params("a.example", "a.example");
    let (kinds, warnings) = found_at(NOW, &[issue(&params, &root)]);
    assert!(kinds.is_empty(), "a private CA may issue with its root key");
    assert!(warnings[0].contains("not in AWS's list"), "{warnings:?}");
    add_issuer_address(&mut params);
    let lone = issue(&params, &root);
    assert_eq!(found_at(NOW, std::slice::from_ref(&lone)).0, ["chain"]);
    assert!(found_at(NOW, &[lone, root.der().clone()]).0.is_empty());
}

#[test]
fn a_chain_that_leads_to_a_public_root_is_complete() {
    // This root has only the name of Amazon's root, because the test does not have the key.
    let known = &webpki_roots::TLS_SERVER_ROOTS[0];
    let amazon = crate::server::amazon_trust_services();
    assert!(!known.subject.is_empty() && !amazon.is_empty());
    let mut root = CertificateParams::new(vec![]).unwrap();
    root.distinguished_name.push(DnType::CountryName, "US");
    root.distinguished_name
        .push(DnType::OrganizationName, "Amazon");
    root.distinguished_name
        .push(DnType::CommonName, "Amazon Root CA 1");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let mut params = params("a.example", "a.example");
    add_issuer_address(&mut params);
    for kind in [rcgen::DnValue::PrintableString as fn(_) -> _] {
        let mut root = root.clone();
        let mut name = rcgen::DistinguishedName::new();
        for (part, text) in [
            (DnType::CountryName, "US"),
            (DnType::OrganizationName, "Amazon"),
            (DnType::CommonName, "Amazon Root CA 1"),
        ] {
            name.push(part, kind(text.try_into().unwrap()));
        }
        root.distinguished_name = name;
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
        assert_eq!(found_at(NOW, &[issue(&params, &root)]), (vec![], vec![]));
    }
}

#[test]
fn a_lifetime_over_the_limit_at_its_issue_is_a_warning() {
    let root = ca("root", None);
    let warned = |year, month, days: i64| {
        let mut params = params("a.example", "a.example");
        params.not_before = date_time_ymd(year, month, 16);
        params.not_after = params.not_before + time::Duration::days(days);
        let chain = [issue(&params, &root), root.der().clone()];
        let warnings = found_at(NOW, &chain).1;
        warnings
            .iter()
            .any(|warning| warning.contains("is valid for"))
    };
    for (year, month, limit) in [
        (2025, 3, 398),
        (2026, 3, 200),
        (2027, 2, 200),
        (2027, 3, 100),
        (2029, 3, 47),
        (2035, 1, 47),
    ] {
        assert!(!warned(year, month, limit), "{year}");
        assert!(warned(year, month, limit + 1), "{year}");
    }
    assert!(!warned(2019, 1, 5_000), "there was no limit in 2019");
}
