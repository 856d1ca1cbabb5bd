//! The instance types known here, with what is needed of them: cores, memory, architecture.
//! Source: the instance type pages of the EC2 documentation (read as of 2026-01).

/// An instance type.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct InstanceType {
    pub(super) name: String,
    pub(super) family: &'static Family,
    pub(super) vcpus: u32,
    pub(super) memory_mib: u64,
}

/// What the types of a family share.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    pub(super) name: &'static str,
    /// `x86_64` or `arm64`.
    pub(super) architecture: &'static str,
    /// MiB of memory a vCPU, for all sizes but those listed in `small`.
    memory_per_vcpu: u64,
    /// vCPUs a core.
    pub(super) threads_per_core: u32,
    pub(super) burstable: bool,
    /// GHz, sustained.
    pub(super) clock: f32,
    pub(super) manufacturer: &'static str,
    sizes: &'static [&'static str],
}

const AMD: &str = "AMD";
const INTEL: &str = "Intel";
const AWS: &str = "AWS";
const WHOLE: &[&str] = &["large", "xlarge", "2xlarge", "4xlarge", "8xlarge"];
const WITH_MEDIUM: &[&str] = &["medium", "large", "xlarge", "2xlarge", "4xlarge", "8xlarge"];
const BURSTABLE: &[&str] = &["micro", "small", "medium", "large", "xlarge", "2xlarge"];

const fn family(
    name: &'static str,
    architecture: &'static str,
    memory_per_vcpu: u64,
    threads_per_core: u32,
    clock: f32,
    manufacturer: &'static str,
    sizes: &'static [&'static str],
) -> Family {
    Family {
        name,
        architecture,
        memory_per_vcpu,
        threads_per_core,
        burstable: false,
        clock,
        manufacturer,
        sizes,
    }
}

const fn burstable(mut family: Family) -> Family {
    family.burstable = true;
    family
}

static FAMILIES: &[Family] = &[
    family(
        "c5",
        "x86_64",
        2048,
        2,
        3.4,
        INTEL,
        &["large", "xlarge", "2xlarge", "4xlarge"],
    ),
    family("c6a", "x86_64", 2048, 2, 3.6, AMD, WHOLE),
    family("c6i", "x86_64", 2048, 2, 3.5, INTEL, WHOLE),
    family("c6g", "arm64", 2048, 1, 2.5, AWS, WITH_MEDIUM),
    family("c7a", "x86_64", 2048, 1, 3.7, AMD, WITH_MEDIUM),
    family("c7i", "x86_64", 2048, 2, 3.2, INTEL, WHOLE),
    family("c7g", "arm64", 2048, 1, 2.6, AWS, WITH_MEDIUM),
    family("c8g", "arm64", 2048, 1, 2.8, AWS, WITH_MEDIUM),
    family(
        "m5",
        "x86_64",
        4096,
        2,
        3.1,
        INTEL,
        &["large", "xlarge", "2xlarge", "4xlarge"],
    ),
    family("m6i", "x86_64", 4096, 2, 3.5, INTEL, WHOLE),
    family("m7a", "x86_64", 4096, 1, 3.7, AMD, WITH_MEDIUM),
    family("m7i", "x86_64", 4096, 2, 3.2, INTEL, WHOLE),
    family("m7g", "arm64", 4096, 1, 2.6, AWS, WITH_MEDIUM),
    burstable(family("t3", "x86_64", 4096, 2, 2.5, INTEL, BURSTABLE)),
    burstable(family("t3a", "x86_64", 4096, 2, 2.2, AMD, BURSTABLE)),
    burstable(family("t4g", "arm64", 4096, 1, 2.5, AWS, BURSTABLE)),
];

/// The credits of a burstable instance whose launch says nothing: only T2, which is not known here, begins with
/// `standard` (EC2 user guide, "Unlimited mode for burstable performance instances").
pub(super) const DEFAULT_CREDITS: &str = "unlimited";

impl Family {
    fn sized(&'static self, size: &str) -> InstanceType {
        let vcpus = match size {
            // One vCPU where a core has one thread; two where burstable.
            "medium" if !self.burstable => 1,
            "xlarge" => 4,
            "2xlarge" => 8,
            "4xlarge" => 16,
            "8xlarge" => 32,
            _ => 2,
        };
        let memory_mib = match (self.burstable, size) {
            (true, "micro") => 1024,
            (true, "small") => 2048,
            (true, "medium") => 4096,
            _ => u64::from(vcpus) * self.memory_per_vcpu,
        };
        InstanceType {
            name: format!("{}.{size}", self.name),
            family: self,
            vcpus,
            memory_mib,
        }
    }
}

/// All types, by family.
pub(super) fn all() -> impl Iterator<Item = InstanceType> {
    FAMILIES
        .iter()
        .flat_map(|family| family.sizes.iter().map(|size| family.sized(size)))
}

/// The type of this name.
pub(super) fn find(name: &str) -> Option<InstanceType> {
    all().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_documentation() {
        for (name, vcpus, memory_mib, architecture) in [
            ("c7i.large", 2, 4096, "x86_64"),
            ("c7i.4xlarge", 16, 32768, "x86_64"),
            ("c7a.medium", 1, 2048, "x86_64"),
            ("c7g.xlarge", 4, 8192, "arm64"),
            ("m7i.2xlarge", 8, 32768, "x86_64"),
            ("m7g.large", 2, 8192, "arm64"),
            ("t3.micro", 2, 1024, "x86_64"),
            ("t3.medium", 2, 4096, "x86_64"),
            ("t3.large", 2, 8192, "x86_64"),
            ("t3.2xlarge", 8, 32768, "x86_64"),
        ] {
            let kind = find(name).unwrap();
            assert_eq!(
                (kind.vcpus, kind.memory_mib, kind.family.architecture),
                (vcpus, memory_mib, architecture),
                "{name}"
            );
        }
        assert!(find("c7i.medium").is_none());
        assert!(find("t3.4xlarge").is_none());
    }
}
