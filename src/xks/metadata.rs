//! `requestMetadata`: the principal, the KMS operation and the KMS key of a request (XKS API, section "Request metadata").

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::fault::{Fault, FaultKind};

/// The longest ARN, in characters.
const MAX_ARN: usize = 2_048;

/// The metadata of a request with all fields that its operation requires. Only the presence of the fields and the length of the ARNs are checked; an
/// unknown `kmsOperation` is accepted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestMetadata {
    /// The AWS principal that called KMS; `None` for GetHealthStatus.
    pub aws_principal_arn: Option<String>,
    /// The KMS operation that caused this request.
    pub kms_operation: String,
    /// The opaque id that KMS assigned to the request, for the log.
    pub kms_request_id: String,
    /// The KMS key.
    pub kms_key_arn: Option<String>,
    /// The AWS service through which the principal called.
    pub kms_via_service: Option<String>,
    /// The VPC from which the principal called.
    pub aws_source_vpc: Option<String>,
    /// The VPC endpoint through which the principal called.
    pub aws_source_vpce: Option<String>,
    /// Fields that this version of the specification does not define.
    pub other: Map<String, Value>,
}

/// The metadata in the JSON body.
#[derive(Default)]
pub(super) struct MetadataFields {
    aws_principal_arn: Option<String>,
    kms_operation: Option<String>,
    kms_request_id: Option<String>,
    kms_key_arn: Option<String>,
    kms_via_service: Option<String>,
    aws_source_vpc: Option<String>,
    aws_source_vpce: Option<String>,
    other: Map<String, Value>,
}

/// The name of a field.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum FieldName {
    AwsPrincipalArn,
    KmsOperation,
    KmsRequestId,
    KmsKeyArn,
    KmsViaService,
    AwsSourceVpc,
    AwsSourceVpce,
    /// Not in this version of the specification.
    Other(String),
}

impl<'de> Deserialize<'de> for MetadataFields {
    /// Reads each field once, in place. serde's `flatten` would copy the whole object first.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = MetadataFields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("requestMetadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetadataFields, A::Error> {
        let mut fields = MetadataFields::default();
        let mut seen = [false; 7];
        while let Some(name) = map.next_key()? {
            let (position, field) = match name {
                FieldName::AwsPrincipalArn => (0, &mut fields.aws_principal_arn),
                FieldName::KmsOperation => (1, &mut fields.kms_operation),
                FieldName::KmsRequestId => (2, &mut fields.kms_request_id),
                FieldName::KmsKeyArn => (3, &mut fields.kms_key_arn),
                FieldName::KmsViaService => (4, &mut fields.kms_via_service),
                FieldName::AwsSourceVpc => (5, &mut fields.aws_source_vpc),
                FieldName::AwsSourceVpce => (6, &mut fields.aws_source_vpce),
                FieldName::Other(name) => {
                    fields.other.insert(name, map.next_value()?);
                    continue;
                }
            };
            *field = map.next_value()?;
            let before = seen
                .get_mut(position)
                .map(|seen| std::mem::replace(seen, true));
            if before == Some(true) {
                return Err(A::Error::custom("a field occurs twice"));
            }
        }
        Ok(fields)
    }
}

/// The optional fields that an operation requires.
#[derive(Clone, Copy)]
pub(super) struct Required {
    pub principal: bool,
    pub key_arn: bool,
}

impl MetadataFields {
    /// Checks the fields that `required` names, and returns the metadata.
    ///
    /// # Errors
    /// [`FaultKind::FieldMissing`] for a missing, null or empty required field, [`FaultKind::FieldInvalid`] for an ARN of more than 2,048 characters.
    pub(super) fn into_metadata(self, required: Required) -> Result<RequestMetadata, Fault> {
        Ok(RequestMetadata {
            aws_principal_arn: arn(
                self.aws_principal_arn,
                "requestMetadata.awsPrincipalArn",
                required.principal,
            )?,
            kms_operation: present(self.kms_operation, "requestMetadata.kmsOperation")?,
            kms_request_id: present(self.kms_request_id, "requestMetadata.kmsRequestId")?,
            kms_key_arn: arn(
                self.kms_key_arn,
                "requestMetadata.kmsKeyArn",
                required.key_arn,
            )?,
            kms_via_service: self.kms_via_service,
            aws_source_vpc: self.aws_source_vpc,
            aws_source_vpce: self.aws_source_vpce,
            other: self.other,
        })
    }
}

fn present(value: Option<String>, field: &'static str) -> Result<String, Fault> {
    value
        .filter(|text| !text.is_empty())
        .ok_or_else(|| FaultKind::FieldMissing(field).into())
}

fn arn(
    value: Option<String>,
    field: &'static str,
    required: bool,
) -> Result<Option<String>, Fault> {
    let value = match required {
        true => Some(present(value, field)?),
        false => value,
    };
    match &value {
        Some(text) if text.chars().count() > MAX_ARN => Err(FaultKind::FieldInvalid(field).into()),
        _ => Ok(value),
    }
}
