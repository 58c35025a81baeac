//! Writes the man pages and shell completions of the tools below a directory, in the layout of `share`:
//! `cargo run -p kmodlab-kmod --example pages -- DIR`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(directory), None) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        eprintln!("usage: pages DIR");
        return ExitCode::from(2);
    };
    for (path, text) in kmod::commands::pages::all() {
        let path = directory.join(path);
        let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) = parent.and_then(|()| std::fs::write(&path, text)) {
            eprintln!("pages: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
