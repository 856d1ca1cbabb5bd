//! Instance profiles named by a call: `IamInstanceProfile.Name` or `.Arn`.

use jiff::Timestamp;
use rusqlite::Transaction;
use serde::Serialize;

use crate::error::{ApiError, ApiResult};
use crate::query_protocol::Params;
use crate::state::ec2::instance::ProfileAssociation;
use crate::state::ec2::new_id;
use crate::state::iam;

/// A profile as the caller named it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) enum ProfileName {
    Name(String),
    Arn(String),
}

impl ProfileName {
    /// Reads `IamInstanceProfile`, if given.
    ///
    /// # Errors
    /// `InvalidParameterCombination` unless exactly one of name and ARN is there.
    pub(super) fn read(params: &Params) -> ApiResult<Option<Self>> {
        let Some(given) = params.structure("IamInstanceProfile") else {
            return Ok(None);
        };
        match (given.optional("Name"), given.optional("Arn")) {
            (Some(name), None) => Ok(Some(Self::Name(name))),
            (None, Some(arn)) => Ok(Some(Self::Arn(arn))),
            (Some(_), Some(_)) => Err(ApiError::new(
                "InvalidParameterCombination",
                "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
            )),
            // Some other member: left for `finish` to name.
            (None, None) => Ok(None),
        }
    }

    /// Associates the profile.
    ///
    /// # Errors
    /// `InvalidParameterValue` if there is no such profile.
    pub(super) fn associate(
        &self,
        tx: &Transaction<'_>,
        now: Timestamp,
    ) -> ApiResult<ProfileAssociation> {
        let (field, noun, given, found) = match self {
            Self::Name(name) => {
                let found = match iam::find_profile(tx, name) {
                    Ok(profile) => Some(profile),
                    Err(error) if error.code == "NoSuchEntity" => None,
                    Err(error) => return Err(error),
                };
                ("name", "name", name, found)
            }
            Self::Arn(arn) => ("arn", "ARN", arn, iam::find_profile_by_arn(tx, arn)?),
        };
        let profile = found.ok_or_else(|| {
            ApiError::new(
                "InvalidParameterValue",
                format!(
                    "Value ({given}) for parameter iamInstanceProfile.{field} is invalid. Invalid IAM Instance Profile {noun}"
                ),
            )
        })?;
        Ok(ProfileAssociation {
            association_id: new_id("iip-assoc"),
            arn: profile.arn(),
            profile_id: profile.id,
            since: now,
        })
    }
}
