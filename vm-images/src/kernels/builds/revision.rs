//! Builds a revision of a git repository. Its files are checked out in the cache, in one directory for each repository, so
//! that make rebuilds only what differs from the revision that was built there before.

use super::git::{Repository, Revision};
use super::objects::{self, AREA, ObjectBuild};
use super::tree::{check_tree, merged_text};
use super::{BuildError, programs};
use crate::cache::{ContentId, lock_file, touch};
use crate::options::{Options, Progress};
use std::path::PathBuf;

/// A build of a revision.
#[derive(Clone, Debug)]
pub struct RevisionBuild<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// The revision.
    pub revision: &'a Revision,
    /// Names of fragments, or paths of files; each overrides the preceding ones.
    pub fragments: &'a [String],
    /// Additional arguments of make, such as `LLVM=1`.
    pub make_args: &'a [String],
}

/// Builds a revision, or finds an earlier build of the same contents. Returns a directory for [`crate::BuiltTree`].
///
/// # Errors
/// [`BuildError`] if it cannot be built on this machine, or make fails.
pub fn build_revision(build: &RevisionBuild<'_>, options: &Options<'_>) -> Result<PathBuf, BuildError> {
    let RevisionBuild { repository, revision, fragments, make_args } = *build;
    let name = revision.to_string();
    let config = merged_text(fragments, &name)?;
    programs::check(&name)?;
    // git's hash of the files replaces ours.
    let content = ContentId::new().with("git").with(revision.tree()).finish();
    let target = options.cache.area(AREA)?.join(objects::key(&content, &config, make_args, options)?);
    let is_built = || {
        touch(&target);
        target.is_dir()
    };
    if is_built() {
        return Ok(target);
    }
    let [common, prefix] = repository.id();
    let place = format!("git-{}", &ContentId::new().with(common).with(prefix).finish()[..16]);
    let log = options.cache.area("logs")?.join(format!("build-{place}.log"));
    // The log is the lock: a make that outlives us writes to it, and so keeps others out.
    let log_file =
        lock_file(&log, options.stop, |lock| (options.progress)(Progress::Waiting { lock: lock.to_owned() }))?;
    if is_built() {
        return Ok(target);
    }
    let worktree = options.cache.area("worktrees")?.join(&place);
    let (files, index) = (worktree.join("files"), worktree.join("index"));
    (options.progress)(Progress::CheckingOut { revision: name.clone() });
    repository.checkout(revision, (&files, &index), options.stop)?;
    touch(&worktree);
    check_tree(&files).map_err(|reason| BuildError::Unavailable { name: name.clone(), reason })?;
    let variant = ContentId::new().with(&config).with(make_args.join("\0")).finish();
    let objects = options.cache.area("building")?.join(format!("{place}-{}", &variant[..8]));
    let build = ObjectBuild {
        name: &name,
        tree: &files,
        objects: &objects,
        config: &config,
        make_args,
        log: (&log, &log_file),
    };
    build.run(&target, options)?;
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::super::git::tests::Scratch;
    use super::*;
    use std::fs;

    /// A tree whose make copies a line for each file that it compiles, and adds its name to `compiled`.
    const MAKEFILE: &str = "\
tinyconfig:
\t@cp defaults $(O)/.config
olddefconfig:
\t@:
bzImage: $(O)/a.o $(O)/b.o
\t@mkdir -p $(O)/arch/x86/boot
\t@cat $(O)/a.o $(O)/b.o >$(O)/arch/x86/boot/bzImage
\t@echo \"local $${LOCALVERSION-unset}\" >>$(O)/arch/x86/boot/bzImage
modules:
\t@:
$(O)/%.o: %.c
\t@cp $< $@ && echo $* >>$(O)/compiled
";

    fn scratch() -> Option<Scratch> {
        if let Err(error) = programs::check("a test") {
            println!("skipped: {error}");
            return None;
        }
        let scratch = Scratch::new();
        scratch.put("Makefile", MAKEFILE.as_bytes());
        scratch.put("defaults", b"CONFIG_A=y\n");
        scratch.put("Kbuild", b"");
        scratch.put("scripts/kconfig/Makefile", b"");
        scratch.put("a.c", b"a\n");
        scratch.put("b.c", b"limit 50\n");
        scratch.commit("base");
        scratch.put("b.c", b"limit 49\n");
        scratch.commit("head");
        Some(scratch)
    }

    fn build(scratch: &Scratch, name: &str, options: &Options<'_>) -> Result<PathBuf, BuildError> {
        let repository = Repository::open(&scratch.dir(), options.stop)?;
        let revision = repository.resolve(name, options.stop)?;
        let fragments = ["tiny".to_owned()];
        let build =
            RevisionBuild { repository: &repository, revision: &revision, fragments: &fragments, make_args: &[] };
        build_revision(&build, options)
    }

    #[test]
    fn the_second_revision_rebuilds_what_differs_and_the_same_contents_are_not_built_again() {
        let Some(scratch) = scratch() else { return };
        let options = scratch.options();
        let image = |dir: &PathBuf| fs::read_to_string(dir.join("arch/x86/boot/bzImage")).unwrap();
        let base = build(&scratch, "base", &options).unwrap();
        let head = build(&scratch, "head", &options).unwrap();
        assert_eq!(image(&base), "a\nlimit 50\nlocal \n");
        assert_eq!(image(&head), "a\nlimit 49\nlocal \n");
        let [objects] = &crate::cache::paths_in(&options.cache.area("building").unwrap())[..] else { panic!() };
        let compiled = || {
            let text = fs::read_to_string(objects.join("compiled")).unwrap();
            let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(compiled(), ["a", "b", "b"]);
        scratch.git(&["commit", "-q", "--allow-empty", "-m", "the same contents"]);
        assert_eq!(build(&scratch, "base", &options).unwrap(), base);
        assert_eq!(build(&scratch, "HEAD", &options).unwrap(), head);
        assert_eq!(compiled(), ["a", "b", "b"]);
    }

    #[test]
    fn the_configuration_does_not_depend_on_the_revision_built_before() {
        let Some(scratch) = scratch() else { return };
        scratch.put("defaults", b"CONFIG_A=n\n");
        scratch.commit("other");
        let options = scratch.options();
        let config = |name| fs::read_to_string(build(&scratch, name, &options).unwrap().join(".config")).unwrap();
        assert!(config("base").starts_with("CONFIG_A=y\n"));
        assert!(config("other").starts_with("CONFIG_A=n\n"));
    }

    #[test]
    fn a_failing_build_is_reported_with_its_log() {
        let Some(scratch) = scratch() else { return };
        scratch.put("Makefile", MAKEFILE.replace("cp $<", "false $<").as_bytes());
        scratch.commit("broken");
        let options = scratch.options();
        let error = build(&scratch, "broken", &options).unwrap_err();
        let commit = &scratch.git(&["rev-parse", "broken"])[..12];
        let message = scratch.message(&error).replace(commit, "COMMIT");
        let (first, rest) = message.split_once('\n').unwrap();
        let log =
            first.split_once("; see ").unwrap().1.replace("TEMP", scratch.dir().parent().unwrap().to_str().unwrap());
        assert!(fs::read_to_string(log).unwrap().contains("Error 1"));
        assert!(first.starts_with("building broken at COMMIT: `make -j"), "{first}");
        assert!(rest.contains("Error 1"), "{rest}");
    }

    #[test]
    fn a_repository_without_a_kernel_cannot_be_built() {
        let Some(scratch) = scratch() else { return };
        fs::remove_file(scratch.dir().join("Kbuild")).unwrap();
        scratch.commit("other");
        let error = build(&scratch, "other", &scratch.options()).unwrap_err();
        let commit = &scratch.git(&["rev-parse", "other"])[..12];
        let message = scratch.message(&error).replace(commit, "COMMIT");
        insta::assert_snapshot!(message, @"cannot build other at COMMIT: not a kernel source tree");
    }
}
