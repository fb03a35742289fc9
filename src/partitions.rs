//! AWS partitions: their Regions and DNS suffixes, and the names that contain them. This is the only table of partitions.
//!
//! AWS adds Regions and partitions without notice. A name that is not in the table is unknown, not invalid. Parsers accept every name
//! of the general form, and callers warn about an unknown one.
//!
//! Sources: `partitions.json` of botocore for Regions and suffixes, the KMS API for the form of Regions and endpoint services.

mod names;
mod table;

pub use names::{iam_arn, kms_key_arn, kms_service_principals, service_name, service_principal};
pub use table::{PARTITIONS, Partition, has_partition_form, has_region_form};
