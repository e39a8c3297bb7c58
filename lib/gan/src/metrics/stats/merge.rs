//! Statistics of several sets of images, or of all parts of one, merged.

use super::{Stats, StatsFile, StatsMeta};
use crate::io::hash::Hasher;
use crate::metrics::Partition;
use crate::metrics::frechet::Gaussian;
use crate::{Error, Result};

/// The statistics of all images together. All parts of a set give the statistics of the set, except for
/// rounding, with the same metadata.
///
/// # Errors
/// A file of another program, which does not say its number of images; files of different features, weights
/// or precision; the same images twice.
pub fn merge(parts: &[StatsFile]) -> Result<Stats> {
    let foreign = "does not say its number of images: only statistics of gantools can be merged";
    let metas = parts.iter().map(|part| part.stats.meta.as_ref().ok_or(Error::file(&part.path, foreign)));
    let metas = metas.collect::<Result<Vec<&StatsMeta>>>()?;
    let Some(&first) = metas.first() else { return Err(Error::Invalid("no statistics to merge".into())) };
    for (i, (meta, part)) in metas.iter().zip(parts).enumerate() {
        let computed = |m: &StatsMeta| (m.features, m.dims, m.weights.clone(), m.precision);
        let same = metas[..i].iter().position(|other| other.content == meta.content);
        let wrong = match same.map(|same| &parts[same]) {
            _ if computed(meta) != computed(first) => {
                format!("is of other features, weights or precision than {}", parts[0].path.display())
            }
            Some(same) => format!("is of the same images as {}", same.path.display()),
            None => continue,
        };
        return Err(Error::file(&part.path, wrong));
    }
    let counted = parts.iter().zip(&metas).map(|(part, meta)| (&part.stats.gaussian, meta.n));
    let mut sources: Vec<&str> = metas.iter().map(|meta| meta.source.as_str()).collect();
    if sources.iter().all(|source| *source == sources[0]) {
        sources.truncate(1);
    }
    let same = |dataset: &_| metas.iter().all(|meta| meta.dataset.as_ref() == Some(dataset));
    let meta = StatsMeta {
        n: metas.iter().map(|meta| meta.n).sum(),
        content: content(&metas),
        dataset: first.dataset.clone().filter(same),
        source: sources.join(", "),
        ..first.clone()
    };
    Ok(Stats { gaussian: Gaussian::merge(&counted.collect::<Vec<_>>()), meta: Some(meta) })
}

/// The text that identifies all these images: that of their set, if they are all of its parts.
fn content(metas: &[&StatsMeta]) -> String {
    let mut contents: Vec<&str> = metas.iter().map(|meta| meta.content.as_str()).collect();
    let parse = |text: &'_ str| {
        let (part, all) = text.strip_prefix("part ")?.split_once(" of ")?;
        Some((part.parse::<Partition>().ok()?, all.to_string()))
    };
    let parts: Option<Vec<(Partition, String)>> = contents.iter().map(|text| parse(text)).collect();
    if let Some(parts) = parts
        && parts.iter().all(|(part, all)| part.of == parts.len() && *all == parts[0].1)
    {
        // No part is there twice, so these are all.
        return parts[0].1.clone();
    }
    contents.sort_unstable();
    format!("merged {}", Hasher::of(&[contents.join("\n").as_bytes()]))
}
