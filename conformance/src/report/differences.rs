//! Finds the behaviours whose facts differ between the rows of a run: one line each, with the kernels and subjects that
//! agree.

use crate::catalogue::entry::About;
use crate::run::event::Row;
use crate::run::verdict::Verdict;

/// The maximum length of a line. Longer lines end with an ellipsis; the HTML page shows all cells.
const WIDTH: usize = 110;

/// Collects the facts of rows.
#[derive(Debug, Default)]
pub struct Differences {
    kernels: Vec<String>,
    /// Short names of the kernels, used where they are unique.
    labels: Vec<String>,
    subjects: Vec<String>,
    behaviours: Vec<Behaviour>,
}

#[derive(Debug)]
struct Behaviour {
    id: String,
    position: usize,
    /// Whether it is about the kernel alone, and so runs with the first subject only.
    kernel_only: bool,
    variants: Vec<Variant>,
}

#[derive(Debug)]
struct Variant {
    facts: Vec<(String, String)>,
    cells: Vec<(usize, usize)>,
}

impl Differences {
    /// Adds a row, with a short name for its kernel. Skipped and inconclusive rows are ignored.
    pub fn add(&mut self, row: &Row, label: &str) {
        if matches!(row.verdict, Verdict::Skip | Verdict::Error) {
            return;
        }
        let cell = (number(&mut self.kernels, &row.kernel.name), number(&mut self.subjects, &row.subject));
        if cell.0 == self.labels.len() {
            self.labels.push(label.to_owned());
        }
        let release = |text: &str| {
            if row.kernel.release.is_empty() { text.to_owned() } else { text.replace(&row.kernel.release, "RELEASE") }
        };
        let facts: Vec<_> = row.facts.iter().map(|fact| (fact.name.clone(), release(&fact.got))).collect();
        let known = self.behaviours.iter().position(|behaviour| behaviour.id == row.id);
        let at = known.unwrap_or_else(|| {
            let (id, position, kernel_only) = (row.id.clone(), row.position.2, row.about == About::Kernel);
            self.behaviours.push(Behaviour { id, position, kernel_only, variants: Vec::new() });
            self.behaviours.len() - 1
        });
        let variants = &mut self.behaviours[at].variants;
        match variants.iter_mut().find(|variant| variant.facts == facts) {
            Some(variant) => variant.cells.push(cell),
            None => variants.push(Variant { facts, cells: vec![cell] }),
        }
    }

    /// Returns one line per behaviour with different facts, in catalogue order.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut differing: Vec<&Behaviour> =
            self.behaviours.iter().filter(|behaviour| behaviour.variants.len() > 1).collect();
        differing.sort_by_key(|behaviour| behaviour.position);
        differing.into_iter().map(|behaviour| self.line(behaviour)).collect()
    }

    fn line(&self, behaviour: &Behaviour) -> String {
        let all: Vec<(usize, usize)> =
            behaviour.variants.iter().flat_map(|variant| variant.cells.iter().copied()).collect();
        // The variant with the first cell comes first.
        let mut variants: Vec<Vec<(usize, usize)>> =
            behaviour.variants.iter().map(|variant| sorted(variant.cells.clone())).collect();
        variants.sort();
        let unique = |at: &usize| self.labels.iter().filter(|label| **label == self.labels[*at]).count() == 1;
        let kernels: Vec<&str> = (0..self.kernels.len())
            .map(|at| if unique(&at) { self.labels[at].as_str() } else { self.kernels[at].as_str() })
            .collect();
        let text: Vec<String> =
            variants.iter().map(|cells| self.names(&kernels, cells, &all, behaviour.kernel_only)).collect();
        let mut line = format!("{:<26} {}", behaviour.id, text.join(" | "));
        if line.chars().count() > WIDTH {
            line = line.chars().take(WIDTH - 1).collect::<String>() + "…";
        }
        line
    }

    /// Returns the names of cells: kernels if these agree for all subjects, subjects if these agree on all kernels, else
    /// pairs.
    fn names(
        &self,
        kernel_names: &[&str],
        cells: &[(usize, usize)],
        all: &[(usize, usize)],
        kernel_only: bool,
    ) -> String {
        let kernels = sorted(cells.iter().map(|cell| cell.0).collect());
        let subjects = sorted(cells.iter().map(|cell| cell.1).collect());
        let count = |of: &dyn Fn(&(usize, usize)) -> bool| all.iter().filter(|cell| of(cell)).count();
        let names = |names: &[&str], which: &[usize]| which.iter().map(|at| names[*at]).collect::<Vec<_>>().join(" ");
        let subject_names: Vec<&str> = self.subjects.iter().map(String::as_str).collect();
        if kernel_only || count(&|cell| kernels.contains(&cell.0)) == cells.len() {
            names(kernel_names, &kernels)
        } else if count(&|cell| subjects.contains(&cell.1)) == cells.len() {
            names(&subject_names, &subjects)
        } else {
            let pair = |cell: &(usize, usize)| format!("{}/{}", kernel_names[cell.0], self.subjects[cell.1]);
            cells.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
    }
}

fn number(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort();
    items.dedup();
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fact::Fact;
    use crate::report::sample;
    use crate::run::event::{Event, KernelName};

    fn row(id: &str, about: About, kernel: &str, subject: &str, got: &str) -> Row {
        let Some(Event::Judged(row)) = sample::events().into_iter().find(|event| matches!(event, Event::Judged(_)))
        else {
            panic!("the sample has rows");
        };
        let kernel = KernelName { name: kernel.to_owned(), release: format!("{kernel}.0-x") };
        let facts =
            vec![Fact { name: "f".into(), expected: got.into(), got: got.into(), holds: true, deviation: None }];
        Row { id: id.into(), about, kernel, subject: subject.into(), facts, ..*row }
    }

    fn lines(rows: &[Row]) -> Vec<String> {
        let mut differences = Differences::default();
        rows.iter().for_each(|row| differences.add(row, &row.kernel.name));
        differences.lines()
    }

    fn matrix(got: impl Fn(&str, &str) -> String) -> Vec<Row> {
        let kernels = ["5.10", "6.1", "6.12"];
        let cells = kernels.iter().flat_map(|kernel| ["ours", "busybox"].map(|subject| (*kernel, subject)));
        cells.map(|(kernel, subject)| row("a", About::Both, kernel, subject, &got(kernel, subject))).collect()
    }

    #[test]
    fn rows_with_the_same_facts_are_not_listed() {
        assert!(lines(&matrix(|_, _| "x".into())).is_empty());
        assert!(lines(&matrix(|kernel, _| format!("/lib/modules/{kernel}.0-x"))).is_empty());
    }

    #[test]
    fn agreeing_cells_are_named_by_kernel_by_subject_or_by_pair() {
        let kernels = lines(&matrix(|kernel, _| (kernel == "6.12").to_string()));
        assert_eq!(kernels, [format!("{:<26} 5.10 6.1 | 6.12", "a")]);
        let subjects = lines(&matrix(|_, subject| subject.into()));
        assert_eq!(subjects, [format!("{:<26} ours | busybox", "a")]);
        let pairs = lines(&matrix(|kernel, subject| (kernel == "6.1" && subject == "busybox").to_string()));
        assert_eq!(
            pairs,
            [format!("{:<26} 5.10/ours 5.10/busybox 6.1/ours 6.12/ours 6.12/busybox | 6.1/busybox", "a")]
        );
    }

    #[test]
    fn a_row_about_the_kernel_is_named_by_kernel_and_a_long_line_is_truncated() {
        let rows = ["5.10", "6.1"].map(|kernel| row("k", About::Kernel, kernel, "ours", kernel));
        assert_eq!(lines(&rows), [format!("{:<26} 5.10 | 6.1", "k")]);
        let rows: Vec<Row> = (0..60).map(|n| row("k", About::Kernel, &n.to_string(), "ours", &n.to_string())).collect();
        assert_eq!(lines(&rows)[0].chars().count(), WIDTH);
    }
}
