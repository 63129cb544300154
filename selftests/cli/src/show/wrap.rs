// SPDX-License-Identifier: GPL-2.0
//! Steps in lines that fit.

/// Words that make no sense at the end of a line: they stay with what follows.
const LEADING: [&str; 3] = ["=", "/*", "<=="];

/// And one that makes none at the start.
const TRAILING: &str = "*/";

/// A comment is only broken if it is longer than this.
const COMMENT: usize = 24;

/// Words, and what has to stay together.
fn pieces(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut joined = false;
    let mut rest = text;
    while !rest.is_empty() {
        let is_comment = rest.starts_with(LEADING[1]);
        let comment = rest.find(TRAILING).map(|at| at + TRAILING.len());
        let len = match comment.filter(|&len| is_comment && len <= COMMENT) {
            Some(len) => len,
            None => rest.find(' ').unwrap_or(rest.len()),
        };
        let (word, others) = rest.split_at(len);
        match pieces.last_mut() {
            Some(last) if joined || word == TRAILING => {
                last.push(' ');
                last.push_str(word);
            }
            _ => pieces.push(word.to_owned()),
        }
        joined = LEADING.contains(&word);
        rest = others.trim_start();
    }
    pieces
}

/// Breaks a text into lines of at most so many letters, the first of which may be longer or
/// shorter than the others. A word that fits in no line gets one of its own.
pub(crate) fn wrap(text: &str, first: usize, others: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for piece in pieces(text) {
        let width = if lines.len() == 1 { first } else { others };
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = piece,
            Some(line) if line.len() + 1 + piece.len() <= width => {
                line.push(' ');
                line.push_str(&piece);
            }
            _ => lines.push(piece),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_stays_together() {
        let text = "pin_user_pages_fast(addr, 1, FOLL_WRITE) = 1 /* pfn 0x12200 */ <== met";
        assert_eq!(
            wrap(text, 43, 24),
            [
                "pin_user_pages_fast(addr, 1, FOLL_WRITE)",
                "= 1 /* pfn 0x12200 */",
                "<== met"
            ]
        );
        assert_eq!(
            wrap("f() /* held for as long as a line, and more */ = 1", 20, 20),
            ["f() /* held for as", "long as a line, and", "more */ = 1"]
        );
        assert_eq!(wrap("too_long_for_a_line", 4, 4), ["too_long_for_a_line"]);
        assert_eq!(wrap("", 4, 4), [""]);
    }
}
