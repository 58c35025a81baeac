//! The table of probes: the properties of a kernel that decide which form of a statement applies.
//!
//! The image decides if it can, because the version of a patched or bisected tree is unreliable; then the configuration;
//! the version comes last.

use crate::catalogue::suggest::nearest;
use crate::check::probes::{DecidedBy, Probed, Probes};
use std::str::FromStr;
use vm_images::{AtLimit, ImageFacts, LivePatchOptions};

/// A probe.
#[derive(Debug)]
pub struct Probe {
    /// The name, as in reports and in `NAME=VALUE`.
    pub name: &'static str,
    /// What the values mean.
    pub meaning: &'static str,
    /// The values.
    pub values: &'static [&'static str],
    /// How they are decided. The first decision that applies is taken; one of them always applies.
    pub decisions: &'static [(Decision, &'static str)],
    /// Where the property changed: a commit or a release.
    pub since: &'static str,
}

/// A condition on a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The image contains this string or symbol.
    Image(&'static str),
    /// The image does not contain this string or symbol.
    NotInImage(&'static str),
    /// The configuration has this line, without `CONFIG_`, e.g. `MODVERSIONS=y`.
    Config(&'static str),
    /// The release is at least this one.
    Since(u32, u32),
    /// Always: the lab sets the property.
    Lab,
}

/// All probes.
pub const PROBES: &[Probe] = &[
    Probe {
        name: "cutoff",
        meaning: "how request_module() waits at its limit: on a wait queue, killable, with two log lines; \
            or on a semaphore, not killable, with one",
        values: &["wait-queue", "semaphore"],
        decisions: &[
            (Decision::Image("for module %s, throttling..."), "wait-queue"),
            (Decision::Image("cannot be processed, kmod busy with"), "semaphore"),
            (Decision::Since(6, 4), "semaphore"),
            (Decision::Since(0, 0), "wait-queue"),
        ],
        since: "25a1b5b518f4 (6.4)",
    },
    Probe {
        name: "decompression",
        meaning: "whether the kernel decompresses modules in the xz format",
        values: &["xz", "none"],
        decisions: &[
            (Decision::Image("not an xz compressed module"), "xz"),
            (Decision::Config("MODULE_DECOMPRESS=n"), "none"),
            (Decision::NotInImage("not an xz compressed module"), "none"),
        ],
        since: "CONFIG_MODULE_DECOMPRESS (5.17)",
    },
    Probe {
        name: "elf-messages",
        meaning: "whether the kernel logs one generic message for any invalid ELF file, or a specific message per header field",
        values: &["generic", "specific"],
        decisions: &[
            (Decision::Image("Invalid ELF header len"), "specific"),
            (Decision::NotInImage("Invalid ELF header len"), "generic"),
        ],
        since: "between 5.10 and 6.1",
    },
    Probe {
        name: "modversions",
        meaning: "whether the kernel compares the versions of symbols, and then ignores the release in a version magic",
        values: &["on", "off"],
        decisions: &[
            (Decision::Image("disagrees about version of symbol"), "on"),
            (Decision::NotInImage("disagrees about version of symbol"), "off"),
        ],
        since: "CONFIG_MODVERSIONS",
    },
    Probe {
        name: "parallel-loads",
        meaning: "which of several parallel loads of one file succeed",
        values: &["first", "all"],
        decisions: &[
            (Decision::Image("idempotent_init_module"), "all"),
            (Decision::Since(6, 5), "all"),
            (Decision::Since(0, 0), "first"),
        ],
        since: "9b9879fc0327 (6.5)",
    },
    Probe {
        name: "init-eexist",
        meaning: "the errno of a load whose module returns EEXIST from its init function",
        values: &["EEXIST", "EBUSY"],
        decisions: &[(Decision::Since(7, 3), "EBUSY"), (Decision::Since(0, 0), "EEXIST")],
        since: "between 6.18 and 7.3",
    },
    Probe {
        name: "binfmt-requests",
        meaning: "whether execve of a file in an unknown format requests a module",
        values: &["yes", "no"],
        decisions: &[(Decision::Image("binfmt-%04x"), "yes"), (Decision::NotInImage("binfmt-%04x"), "no")],
        since: "fa1bdca98d74 (6.14)",
    },
    Probe {
        name: "qdisc-names",
        meaning: "the prefix with which the kind of a qdisc is requested",
        values: &["sch", "net-sch"],
        decisions: &[
            (Decision::Image("net-sch-%s"), "net-sch"),
            (Decision::Image("sch_%s"), "sch"),
            (Decision::Since(6, 9), "net-sch"),
            (Decision::Since(0, 0), "sch"),
        ],
        since: "2c15a5aee2f3 (6.9)",
    },
    Probe {
        name: "alg-names",
        meaning: "which algorithms an AF_ALG socket requests: any, or those on the kernel's list",
        values: &["any", "listed"],
        decisions: &[(Decision::Since(7, 3), "listed"), (Decision::Since(0, 0), "any")],
        since: "crypto.af_alg_restrict (between 6.18 and 7.3)",
    },
    Probe {
        name: "default-path",
        meaning: "the path in /proc/sys/kernel/modprobe after boot",
        values: &["/sbin/modprobe", "another"],
        decisions: &[
            (Decision::Config("MODPROBE_PATH=\"/sbin/modprobe\""), "/sbin/modprobe"),
            (Decision::NotInImage("/sbin/modprobe"), "another"),
            (Decision::Since(0, 0), "/sbin/modprobe"),
        ],
        since: "CONFIG_MODPROBE_PATH (between 5.10 and 6.1)",
    },
    Probe {
        name: "init-fs",
        meaning: "what becomes of helpers after PID 1 has unshared its fs_struct: they keep the old root, or none starts",
        values: &["old-root", "no-helper"],
        decisions: &[
            (Decision::Image("Pid 1 stopped sharing filesystem state"), "no-helper"),
            (Decision::NotInImage("Pid 1 stopped sharing filesystem state"), "old-root"),
        ],
        since: "validate_fs_switch() (between 6.18 and 7.3)",
    },
];

impl Probe {
    /// Returns the value on a kernel.
    fn probed(&self, release: &str, image: &dyn Image) -> Option<Probed> {
        let (decision, value) = self.decisions.iter().find(|(decision, _)| decision.applies(release, image))?;
        Some(Probed { value: (*value).to_owned(), by: decision.by() })
    }
}

impl Decision {
    fn applies(self, release: &str, image: &dyn Image) -> bool {
        match self {
            Decision::Image(text) => image.contains(text),
            Decision::NotInImage(text) => !image.contains(text),
            Decision::Config(line) => {
                line.split_once('=').is_some_and(|(option, value)| image.config(option) == Some(value))
            }
            Decision::Since(major, minor) => version(release) >= (major, minor),
            Decision::Lab => true,
        }
    }

    fn by(self) -> DecidedBy {
        match self {
            Decision::Image(_) | Decision::NotInImage(_) => DecidedBy::Image,
            Decision::Config(_) => DecidedBy::Config,
            Decision::Since(..) => DecidedBy::Version,
            Decision::Lab => DecidedBy::Lab,
        }
    }
}

/// What probes read of a kernel.
pub trait Image {
    /// Returns whether the image contains a text of printable characters.
    fn contains(&self, text: &str) -> bool;
    /// Returns the value of a configuration option without `CONFIG_`, `n` if it is not set; nothing if the configuration
    /// is unknown.
    fn config(&self, option: &str) -> Option<&str>;
}

impl Image for ImageFacts {
    fn contains(&self, text: &str) -> bool {
        ImageFacts::contains(self, text.as_bytes())
    }

    fn config(&self, option: &str) -> Option<&str> {
        ImageFacts::config(self, option)
    }
}

/// Returns the values of all probes on a kernel. The values of the user replace those that are found.
#[must_use]
pub fn resolve(release: &str, image: &dyn Image, user: &[ProbeOverride]) -> Probes {
    let of_user = |probe: &Probe| {
        let set = user.iter().rev().find(|set| set.name == probe.name)?;
        Some(Probed { value: set.value.to_owned(), by: DecidedBy::User })
    };
    let probed = |probe: &Probe| of_user(probe).or_else(|| probe.probed(release, image));
    PROBES.iter().filter_map(|probe| Some((probe.name.to_owned(), probed(probe)?))).collect()
}

/// Returns the major and minor number of a release such as `6.1.0-50-cloud-amd64`; 0 for a missing number.
fn version(release: &str) -> (u32, u32) {
    let mut numbers =
        release.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse::<u32>().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// Returns the value of the probe `cutoff` on a kernel with a live patch. None for a policy under which no request waits,
/// for which the catalogue has no form.
#[must_use]
pub fn cutoff_of(options: LivePatchOptions) -> Option<&'static str> {
    match (options.at_limit, options.killable) {
        (AtLimit::Stock | AtLimit::Ancestry(_), false) => Some("semaphore"),
        (AtLimit::Stock | AtLimit::Ancestry(_), true) => Some("wait-queue"),
        (AtLimit::Reject | AtLimit::Reject24, _) => None,
    }
}

/// The value of a probe that the user sets; parsed from `NAME=VALUE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeOverride {
    name: &'static str,
    value: &'static str,
}

/// The text is not the value of a probe.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProbeOverrideError {
    /// It has no `=`.
    #[error("expected NAME=VALUE, e.g. cutoff=semaphore")]
    Form,
    /// The name of the probe is unknown.
    #[error("unknown probe '{name}' ({})", suggestion(*.nearest, names()))]
    Name {
        /// The name.
        name: String,
        /// The name that was probably meant.
        nearest: Option<&'static str>,
    },
    /// The probe does not have this value.
    #[error("unknown value '{value}' of the probe {probe} (expected {})", .values.join(" or "))]
    Value {
        /// The probe.
        probe: &'static str,
        /// The value.
        value: String,
        /// Its values.
        values: &'static [&'static str],
    },
}

/// Returns the names of all probes.
fn names() -> impl Iterator<Item = &'static str> + Clone {
    PROBES.iter().map(|probe| probe.name)
}

fn suggestion(nearest: Option<&str>, names: impl Iterator<Item = &'static str>) -> String {
    match nearest {
        Some(name) => format!("did you mean '{name}'?"),
        None => format!("expected one of {}", names.collect::<Vec<_>>().join(", ")),
    }
}

impl FromStr for ProbeOverride {
    type Err = ProbeOverrideError;

    fn from_str(text: &str) -> Result<Self, ProbeOverrideError> {
        let (name, value) = text.split_once('=').ok_or(ProbeOverrideError::Form)?;
        let Some(probe) = PROBES.iter().find(|probe| probe.name == name) else {
            return Err(ProbeOverrideError::Name { name: name.to_owned(), nearest: nearest(name, names()) });
        };
        match probe.values.iter().find(|known| **known == value) {
            Some(value) => Ok(ProbeOverride { name: probe.name, value }),
            None => Err(ProbeOverrideError::Value { probe: probe.name, value: value.to_owned(), values: probe.values }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::behaviours;
    use std::collections::BTreeSet;

    /// The strings of an image and the lines of its configuration.
    struct Kernel(&'static [&'static str], Option<&'static [&'static str]>);

    impl Image for Kernel {
        fn contains(&self, text: &str) -> bool {
            self.0.iter().any(|string| string.contains(text))
        }

        fn config(&self, option: &str) -> Option<&str> {
            let set = |line: &&'static str| line.split_once('=').filter(|(name, _)| *name == option);
            Some(self.1?.iter().find_map(set).map_or("n", |(_, value)| value))
        }
    }

    fn probed(name: &str, release: &str, kernel: &Kernel) -> Probed {
        let probes = resolve(release, kernel, &[]);
        probes.iter().find(|(probe, _)| *probe == name).unwrap().1.clone()
    }

    fn value(value: &str, by: DecidedBy) -> Probed {
        Probed { value: value.to_owned(), by }
    }

    #[test]
    fn the_image_decides_the_cutoff_and_else_the_version() {
        let throttling =
            Kernel(&["..., for module %s, throttling...", "%s cannot be processed, kmod busy with %d"], None);
        assert_eq!(probed("cutoff", "7.0.0", &throttling), value("wait-queue", DecidedBy::Image));
        let without = Kernel(&["%s cannot be processed, kmod busy with %d"], None);
        assert_eq!(probed("cutoff", "6.1.0", &without), value("semaphore", DecidedBy::Image));
        let neither = Kernel(&[], None);
        assert_eq!(probed("cutoff", "6.3.13", &neither), value("wait-queue", DecidedBy::Version));
        assert_eq!(probed("cutoff", "6.12.9", &neither), value("semaphore", DecidedBy::Version));
    }

    #[test]
    fn the_configuration_decides_that_a_kernel_does_not_decompress() {
        assert_eq!(probed("decompression", "6.12", &Kernel(&["not an xz compressed module"], None)).value, "xz");
        let off = Kernel(&[], Some(&["MODULES=y"]));
        assert_eq!(probed("decompression", "6.12", &off), value("none", DecidedBy::Config));
        assert_eq!(probed("decompression", "6.12", &Kernel(&[], None)), value("none", DecidedBy::Image));
    }

    #[test]
    fn a_property_that_the_lab_sets_is_decided_by_the_lab() {
        let probe = Probe { name: "x", meaning: "", values: &["on"], decisions: &[(Decision::Lab, "on")], since: "" };
        assert_eq!(probe.probed("6.1", &Kernel(&[], None)), Some(value("on", DecidedBy::Lab)));
    }

    #[test]
    fn the_last_value_of_the_user_replaces_the_one_that_is_found() {
        let set = ["cutoff=wait-queue", "cutoff=semaphore"].map(|text| text.parse::<ProbeOverride>().unwrap());
        let probes = resolve("5.10", &Kernel(&["for module %s, throttling..."], None), &set);
        assert_eq!(probes.value("cutoff"), Some("semaphore"));
    }

    #[test]
    fn the_lab_sets_the_cutoff_of_a_live_patch_unless_the_user_does() {
        let semaphore = Kernel(&["cannot be processed, kmod busy with"], None);
        let user = "cutoff=semaphore".parse::<ProbeOverride>().unwrap();
        for (options, user, expected) in [
            ("killable", &[][..], value("wait-queue", DecidedBy::Lab)),
            ("ancestry", &[], value("semaphore", DecidedBy::Lab)),
            ("killable", &[user], value("semaphore", DecidedBy::User)),
        ] {
            let mut probes = resolve("7.3", &semaphore, user);
            probes.set_by_lab("cutoff", cutoff_of(options.parse().unwrap()).unwrap());
            assert_eq!(probes.iter().find(|(name, _)| *name == "cutoff").unwrap().1, &expected);
        }
        assert_eq!(cutoff_of("reject".parse().unwrap()), None);
    }

    #[test]
    fn an_invalid_override_is_an_error_with_what_is_expected() {
        let error = |text: &str| text.parse::<ProbeOverride>().unwrap_err().to_string();
        assert_eq!(error("semaphore"), "expected NAME=VALUE, e.g. cutoff=semaphore");
        assert_eq!(error("cutof=semaphore"), "unknown probe 'cutof' (did you mean 'cutoff'?)");
        assert_eq!(
            error("cutoff=never"),
            "unknown value 'never' of the probe cutoff (expected wait-queue or semaphore)"
        );
    }

    #[test]
    fn a_version_is_read_from_a_release_of_any_form() {
        assert_eq!(version("6.1.0-50-cloud-amd64"), (6, 1));
        assert_eq!(version("5.10.223"), (5, 10));
        assert_eq!(version("7.3.4+deb14-cloud-amd64"), (7, 3));
        assert_eq!(version("next"), (0, 0));
    }

    #[test]
    fn every_probe_has_a_unique_name_several_values_and_a_decision_that_always_applies() {
        let mut seen = BTreeSet::new();
        for probe in PROBES {
            assert!(seen.insert(probe.name), "{}", probe.name);
            assert!(probe.values.len() > 1, "{}", probe.name);
            let decided: BTreeSet<&str> = probe.decisions.iter().map(|(_, value)| *value).collect();
            assert_eq!(decided, probe.values.iter().copied().collect(), "{}", probe.name);
            for kernel in [Kernel(&[], None), Kernel(&[], Some(&[]))] {
                assert!(probe.probed("0.0", &kernel).is_some(), "{} can be undecided", probe.name);
            }
        }
    }

    #[test]
    fn the_probes_of_entries_exist_and_every_probe_is_used() {
        let used: BTreeSet<&str> = behaviours::entries().iter().flat_map(|entry| entry.probes).copied().collect();
        let known: BTreeSet<&str> = names().collect();
        assert_eq!(used, known);
    }
}
