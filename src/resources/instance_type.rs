//! Instance types: which processors they have.

use aws_sdk_ec2::types as sdk;

use crate::aws::{Aws, Cause};
use crate::error::{Error, Result};

/// EC2's names of the architectures (`x86_64`, `arm64`, `i386` …) that instances of `name` run.
///
/// # Errors
/// If EC2 has no such type, or does not say.
pub async fn architectures(aws: &Aws, name: &str) -> Result<Vec<String>> {
    let answer = aws
        .ec2
        .describe_instance_types()
        .instance_types(sdk::InstanceType::from(name))
        .send()
        .await
        .map_err(|error| {
            let cause = Cause::from(error);
            let unknown = cause.is_any(&["InvalidInstanceType", "InvalidParameterValue"]);
            let error = Error::failed(format!("cannot look at the instance type {name}"))
                .because(cause);
            if unknown {
                return error.hint(
                    "check the instance type (--type, or instance_type in muck.toml) and that the region has it",
                );
            }
            error
        })?;
    let processor = answer
        .instance_types
        .unwrap_or_default()
        .into_iter()
        .find(|one| one.instance_type.as_ref().map(sdk::InstanceType::as_str) == Some(name))
        .and_then(|one| one.processor_info?.supported_architectures);
    match processor {
        Some(architectures) => Ok(architectures
            .iter()
            .map(|one| one.as_str().to_owned())
            .collect()),
        None => Err(Error::failed(format!(
            "EC2 does not tell the processor of the instance type {name}"
        ))),
    }
}

/// Whether instances of that type earn and spend CPU credits: T2, T3, T3a, T4g, and what follows them. (T1 has none.)
pub fn is_burstable(name: &str) -> bool {
    let family = name.split('.').next().unwrap_or_default();
    let generation = family
        .strip_prefix('t')
        .and_then(|rest| rest.chars().next());
    generation.is_some_and(|digit| ('2'..='9').contains(&digit))
}

/// Refuses a type that can't run an image of `architecture`.
///
/// # Errors
/// Naming both; as [`architectures`].
pub async fn check(aws: &Aws, name: &str, architecture: &str) -> Result<()> {
    let runs = architectures(aws, name).await?;
    if runs.iter().any(|one| one == architecture) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "instances of type {name} are {}, but the image is {architecture}",
        runs.join(", ")
    ))
    .hint(match architecture {
        "arm64" => "use a type with a Graviton processor, for example c7g.large (--type, or instance_type in muck.toml; for the bake builder.instance_type in image.toml)",
        _ => "use a type with an Intel or AMD processor, for example c7i.large (--type, or instance_type in muck.toml; for the bake builder.instance_type in image.toml)",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burstable_types_are_known_by_their_family() {
        for name in ["t2.micro", "t3.large", "t3a.2xlarge", "t4g.small"] {
            assert!(is_burstable(name), "{name}");
        }
        for name in ["t1.micro", "trn1.2xlarge", "c7i.large", "m5.large", "t", ""] {
            assert!(!is_burstable(name), "{name}");
        }
    }
}
