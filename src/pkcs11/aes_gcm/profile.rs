//! GCM profiles: which party generates the IV, and the length of the parameter block.
//!
//! # Invariants
//! - A plan is used for keys of key stores only after a probe. In the probe, two encryptions use two IVs, each ciphertext decrypts, and a
//!   changed tag is rejected. Without the probe a wrong plan goes unnoticed: some devices encrypt with the zero IV that other devices
//!   overwrite.

use std::fmt;

use crate::hsm_protocol::GcmProfile;
use crate::pkcs11::aes_gcm::mechanisms::GcmMechanisms;
use crate::pkcs11::library::structures::ParamsForm;
use crate::pkcs11::token::slot::TokenIdentity;

/// Where the IV of an encryption comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) enum IvSource {
    /// The proxy passes 12 bytes of the device's random generator.
    Caller,
    /// The proxy passes 12 zero bytes, and the device overwrites them.
    WrittenBack,
    /// The proxy passes no IV, and the device appends 16 bytes to the output.
    Appended,
    /// The proxy passes no IV to the vendor mechanism, and the device returns 12 bytes before the output.
    Prepended,
    /// The message interface of PKCS#11 3.x generates it.
    Message,
}

/// One way to call AES-GCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pkcs11) struct Plan {
    pub iv: IvSource,
    pub params: ParamsForm,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.iv {
            IvSource::Caller => "caller-iv",
            IvSource::WrittenBack => "iv-written-back",
            IvSource::Appended => "iv-appended",
            IvSource::Prepended => "iv-prepended",
            IvSource::Message => "message",
        })?;
        match self.params {
            ParamsForm::WithIvBits => Ok(()),
            ParamsForm::WithoutIvBits => f.write_str(" (40-byte parameters)"),
        }
    }
}

/// IV sources that work on known products, best first. The text is a part of the manufacturer or model name in lower case.
const KNOWN: [(&str, &[IvSource]); 10] = [
    ("softhsm", &[IvSource::Caller]),
    ("kryoptic", &[IvSource::Caller, IvSource::Message]),
    ("utimaco", &[IvSource::Caller]),
    ("cavium", &[IvSource::WrittenBack, IvSource::Prepended]),
    ("marvell", &[IvSource::WrittenBack, IvSource::Prepended]),
    ("cloudhsm", &[IvSource::WrittenBack, IvSource::Prepended]),
    ("ncipher", &[IvSource::WrittenBack]),
    ("nshield", &[IvSource::WrittenBack]),
    ("protectserver", &[IvSource::WrittenBack]),
    ("luna", &[IvSource::Caller, IvSource::Appended]),
];

/// The order for unknown vendors, and after the sources of a known vendor.
const ALL: [IvSource; 5] = [
    IvSource::Caller,
    IvSource::WrittenBack,
    IvSource::Appended,
    IvSource::Prepended,
    IvSource::Message,
];

/// Lists the plans to probe, in order: the configured one, or those of the vendor and then all others.
pub(in crate::pkcs11) fn candidates(
    profile: GcmProfile,
    identity: &TokenIdentity,
    mechanisms: &GcmMechanisms,
) -> Vec<Plan> {
    let sources: Vec<IvSource> = match profile {
        GcmProfile::CallerIv => vec![IvSource::Caller],
        GcmProfile::IvWrittenBack => vec![IvSource::WrittenBack],
        GcmProfile::IvAppended => vec![IvSource::Appended],
        GcmProfile::IvPrepended => vec![IvSource::Prepended],
        GcmProfile::Message => vec![IvSource::Message],
        GcmProfile::Auto => automatic(identity, mechanisms),
    };
    let mut plans = Vec::new();
    for params in [ParamsForm::WithIvBits, ParamsForm::WithoutIvBits] {
        // The message interface has a different parameter block, which has only one form.
        let fits = |iv: &IvSource| *iv != IvSource::Message || params == ParamsForm::WithIvBits;
        plans.extend(
            sources
                .iter()
                .copied()
                .filter(fits)
                .map(|iv| Plan { iv, params }),
        );
    }
    plans
}

fn automatic(identity: &TokenIdentity, mechanisms: &GcmMechanisms) -> Vec<IvSource> {
    let name = format!("{} {}", identity.vendor, identity.model).to_lowercase();
    let known = KNOWN.iter().find(|(part, _)| name.contains(part));
    let mut sources = known
        .map(|(_, sources)| sources.to_vec())
        .unwrap_or_default();
    for source in ALL {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources.retain(|source| match source {
        IvSource::Prepended => mechanisms.vendor_prepended,
        _ => mechanisms.standard,
    });
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(
        profile: GcmProfile,
        vendor: &str,
        model: &str,
        vendor_prepended: bool,
    ) -> Vec<String> {
        let identity = TokenIdentity {
            vendor: vendor.into(),
            model: model.into(),
            ..TokenIdentity::default()
        };
        let mechanisms = GcmMechanisms {
            standard: true,
            vendor_prepended,
        };
        candidates(profile, &identity, &mechanisms)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_sources_of_a_known_vendor_come_first() {
        for (vendor, model, first) in [
            ("SoftHSM project", "SoftHSM v2 2.6", "caller-iv"),
            ("Cavium Networks", "NITROX-III 1.0", "iv-written-back"),
            ("nCipher Corp. Ltd", "nShield 12", "iv-written-back"),
            ("SafeNet, Inc.", "LunaSA 7", "caller-iv"),
            ("Somebody", "New 1.0", "caller-iv"),
        ] {
            assert_eq!(
                order(GcmProfile::Auto, vendor, model, true)[0],
                first,
                "{vendor}"
            );
        }
        assert_eq!(
            order(GcmProfile::Auto, "SafeNet", "Luna K7", false)[1],
            "iv-appended"
        );
    }

    #[test]
    fn only_the_configured_profile_is_tried() {
        let plans = order(
            GcmProfile::IvAppended,
            "SoftHSM project",
            "SoftHSM v2",
            false,
        );
        assert_eq!(plans, ["iv-appended", "iv-appended (40-byte parameters)"]);
        assert_eq!(order(GcmProfile::Message, "x", "y", false), ["message"]);
    }

    #[test]
    fn mechanisms_that_the_token_lacks_are_not_tried() {
        let plans = order(GcmProfile::Auto, "AWS CloudHSM", "", false);
        assert!(
            plans.iter().all(|plan| !plan.contains("prepended")),
            "{plans:?}"
        );
    }
}
