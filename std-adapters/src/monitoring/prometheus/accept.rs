//! Which of the formats on offer a scraper's `Accept` header asks for (RFC 9110, section 12.5.1).

/// A media type on offer, and the parameters that a range must have as they are, if it has them.
pub(super) struct Offer {
    pub(super) kind: &'static str,
    pub(super) subtype: &'static str,
    pub(super) parameters: &'static [(&'static str, &'static str)],
}

/// OpenMetrics 1.0.
pub(super) const OPEN_METRICS: Offer =
    Offer { kind: "application", subtype: "openmetrics-text", parameters: &[("version", "1.0.0"), CHARSET] };
/// The classic text format.
pub(super) const TEXT: Offer = Offer { kind: "text", subtype: "plain", parameters: &[("version", "0.0.4"), CHARSET] };

const CHARSET: (&str, &str) = ("charset", "utf-8");

/// One media range of the header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    /// In thousandths.
    weight: u16,
}

/// The offer with the highest weight. Among equals one that is named comes before one that a wildcard lets in, then the
/// earlier offer; and if wildcards alone speak, the last, which is to be the plainest.
pub(super) fn best(accept: &str, offers: &[Offer]) -> Option<usize> {
    let ranges: Vec<Range<'_>> = split(accept, ',').filter_map(range).collect();
    let mut best: Option<((u16, bool, usize), usize)> = None;
    for (place, offer) in offers.iter().enumerate() {
        // The most specific range that matches is the one that counts.
        let matching = ranges.iter().filter_map(|range| Some((fits(range, offer)?, range.weight)));
        let Some((specific, weight)) = matching.max().filter(|(_, weight)| *weight > 0) else { continue };
        let named = specific >= NAMED;
        let key = (weight, named, if named { offers.len() - place } else { place });
        if best.is_none_or(|(other, _)| key > other) {
            best = Some((key, place));
        }
    }
    best.map(|(_, place)| place)
}

/// How specific a range is that has no wildcard.
const NAMED: usize = 2;

/// How specifically `range` means `offer`; `None` if it does not.
fn fits(range: &Range<'_>, offer: &Offer) -> Option<usize> {
    let (any_kind, any_subtype) = (range.kind == "*", range.subtype == "*");
    let kind = any_kind || range.kind.eq_ignore_ascii_case(offer.kind);
    let subtype = any_subtype || range.subtype.eq_ignore_ascii_case(offer.subtype);
    if !kind || !subtype || (any_kind && !any_subtype) {
        return None;
    }
    let mut specific = usize::from(!any_kind) + usize::from(!any_subtype);
    for (name, value) in &range.parameters {
        if let Some((_, offered)) = offer.parameters.iter().find(|(offered, _)| offered.eq_ignore_ascii_case(name)) {
            if !offered.eq_ignore_ascii_case(value) {
                return None;
            }
            specific += 1;
        }
    }
    Some(specific)
}

/// Reads a range; one that makes no sense is passed over.
fn range(text: &str) -> Option<Range<'_>> {
    let mut parts = split(text, ';');
    let (kind, subtype) = parts.next()?.trim().split_once('/')?;
    let mut range = Range { kind, subtype, parameters: Vec::new(), weight: 1_000 };
    // RFC 9110 allows a semicolon that nothing follows.
    for part in parts.filter(|part| !part.trim().is_empty()) {
        let (name, value) = part.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("q") {
            range.weight = weight(value)?;
            break; // What follows the weight is not the range's.
        }
        range.parameters.push((name, value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value)));
    }
    Some(range)
}

/// `0`, `1` or up to three decimals between them, in thousandths.
fn weight(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{decimals:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

/// Splits at `at`, but not within quotes.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == at && !quoted
    })
}
