//! Names from outside made harmless: in HTML, Markdown, spreadsheets and terminals.

/// Longer texts are cut: they hold data of others, and a reader compares their beginning. Sentences of
/// our own with a name or two in them stay below it.
const MAX_LENGTH: usize = 1_000;

/// Text on one line without characters that act: control characters and those that reorder or hide
/// text become `�`.
pub(crate) fn visible(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_LENGTH).map(harmless).collect();
    if text.chars().nth(MAX_LENGTH).is_some() {
        shown.push('…');
    }
    shown
}

/// A whole line for a terminal, however long, without characters that act.
pub(crate) fn inert(text: &str) -> String {
    text.chars().map(harmless).collect()
}

/// A character, or a sign in the place of one that acts on a terminal or turns text around.
pub(crate) fn harmless(character: char) -> char {
    match character {
        '\n' | '\r' | '\t' => ' ',
        '\u{200B}'..='\u{200F}'
        | '\u{2028}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}'
        | '\u{FEFF}' => '\u{FFFD}',
        control if control.is_control() => '\u{FFFD}',
        other => other,
    }
}

/// Text inside an HTML or SVG element or a double-quoted attribute.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in visible(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text inside a Markdown paragraph or table cell. An underscore between letters or digits marks
/// nothing up and stays readable.
pub(crate) fn markdown(text: &str) -> String {
    let characters: Vec<char> = visible(text).chars().collect();
    let within_word = |index: usize| {
        let neighbour = |at: Option<usize>| {
            let character = at.and_then(|at| characters.get(at));
            character.is_some_and(|c| c.is_alphanumeric())
        };
        neighbour(index.checked_sub(1)) && neighbour(index.checked_add(1))
    };
    let mut escaped = String::with_capacity(text.len());
    for (index, &character) in characters.iter().enumerate() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '_' if within_word(index) => escaped.push('_'),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

/// Text in a CSV cell, which a spreadsheet must not take for a formula.
pub(crate) fn spreadsheet(text: &str) -> String {
    let shown = visible(text);
    // A leading space would be trimmed by some programs before they look for a formula.
    match shown.trim_start().chars().next() {
        Some('=' | '+' | '-' | '@') => format!("'{shown}"),
        Some(_) | None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_cannot_be_left() {
        assert_eq!(
            html("</td><script>alert(\"1\" & '2')</script>"),
            "&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;"
        );
    }

    #[test]
    fn a_markdown_cell_cannot_be_left() {
        assert_eq!(markdown("a|b\n[x](y) <b>"), "a\\|b \\[x\\](y) &lt;b&gt;");
        assert_eq!(markdown("`*_#\\"), "\\`\\*\\_\\#\\\\");
        assert_eq!(markdown("q8_0 _x_"), "q8_0 \\_x\\_");
    }

    #[test]
    fn a_spreadsheet_sees_no_formula() {
        for formula in ["=1+1", "+1", "-1", "@x", " =1", "\t=1"] {
            assert!(spreadsheet(formula).starts_with('\''), "{formula:?}");
        }
        assert_eq!(spreadsheet("q8_0"), "q8_0");
    }

    #[test]
    fn a_terminal_sees_no_control_character() {
        assert_eq!(
            visible("a\u{1b}[31mb\u{202e}c\u{7}\n"),
            "a\u{FFFD}[31mb\u{FFFD}c\u{FFFD} "
        );
    }

    #[test]
    fn a_whole_line_keeps_its_length() {
        let line = format!("{}\u{1b}", "x".repeat(5_000));
        assert_eq!(inert(&line).chars().count(), 5_001);
        assert!(!inert(&line).contains('\u{1b}'));
    }

    #[test]
    fn a_huge_name_is_cut() {
        let shown = visible(&"x".repeat(5_000_000));
        assert_eq!(shown.chars().count(), MAX_LENGTH + 1);
        assert!(shown.ends_with('…'));
    }
}
