//! Sizes drawn to scale, as SVG without any style of its own, which the policy for content would not let through.

use super::html::{Attribute, Html, count_text, size_text};

/// How many shades the parts of a bar have, one after the other.
const SHADES: usize = 6;

/// Parts beyond these are drawn as one: nobody could tell them apart.
const PARTS_MAX: usize = 64;

/// A bar whose length is `bytes` of `of` bytes.
pub(super) fn share(html: &mut Html, bytes: u64, of: u64) {
    html.element("svg", &[(Attribute::Class, "share"), (Attribute::AriaHidden, "true")], |html| {
        html.leaf("rect", &[(Attribute::Width, &percent(bytes, of)), (Attribute::Height, "100%")], "");
    });
}

/// One bar for a whole of which every part is drawn to scale.
pub(super) fn stack(html: &mut Html, parts: &[u64]) {
    let total = sum(parts.iter().copied());
    if total == 0 {
        return;
    }
    let label = format!("{} in {}, drawn to scale", size_text(total), count_text(parts.len(), "layer", "layers"));
    let attributes = [(Attribute::Class, "stack"), (Attribute::Role, "img"), (Attribute::AriaLabel, label.as_str())];
    html.element("svg", &attributes, |html| {
        let mut before = 0_u64;
        for (index, bytes) in parts.iter().take(PARTS_MAX).enumerate() {
            let is_last = index + 1 == PARTS_MAX;
            let bytes = if is_last { total - before } else { *bytes };
            let (x, width) = (percent(before, total), percent(bytes, total));
            before += bytes;
            if bytes == 0 {
                continue;
            }
            let class = format!("shade-{}", index % SHADES);
            let attributes = [
                (Attribute::Class, class.as_str()),
                (Attribute::X, &x),
                (Attribute::Width, &width),
                (Attribute::Height, "100%"),
            ];
            html.element("rect", &attributes, |html| {
                let title = if is_last { format!("the rest: {}", size_text(bytes)) } else { part_title(index, bytes) };
                html.leaf("title", &[], &title);
            });
        }
    });
}

fn part_title(index: usize, bytes: u64) -> String {
    format!("layer {}: {}", index + 1, size_text(bytes))
}

/// The class of the shade that a part has in [`stack`].
pub(super) fn shade(index: usize) -> String {
    format!("swatch shade-{}", index.min(PARTS_MAX - 1) % SHADES)
}

/// Sizes are what manifests claim, so their sum may not fit.
pub(super) fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

/// A share in percent with two digits, worked out in whole numbers.
fn percent(bytes: u64, of: u64) -> String {
    let hundredths = (u128::from(bytes) * 10_000).checked_div(u128::from(of)).unwrap_or(0).min(10_000);
    format!("{}.{:02}%", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(parts: &[u64]) -> String {
        let mut html = Html::default();
        stack(&mut html, parts);
        html.into_string()
    }

    #[test]
    fn parts_lie_end_to_end() {
        let svg = drawn(&[1, 0, 3]);
        for part in ["x=\"0.00%\" width=\"25.00%\"", "x=\"25.00%\" width=\"75.00%\"", "4 B in 3 layers"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(svg.matches("<rect").count(), 2);
        assert_eq!((drawn(&[]), drawn(&[0])), (String::new(), String::new()));
    }

    #[test]
    fn absurd_sizes_and_numbers_are_drawn_all_the_same() {
        assert!(drawn(&[1 << 40; 10_000]).contains("the rest"));
        assert_eq!(drawn(&[1; 10_000]).matches("<rect").count(), PARTS_MAX);
        assert_eq!(
            (percent(u64::MAX, 1), percent(1, 0), percent(1, u64::MAX)),
            ("100.00%".into(), "0.00%".into(), "0.00%".into())
        );
    }
}
