//! The report as one page that needs nothing else.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Gain, Kind, Measured, Report};
use crate::chart::{Chart, Line, PAGE_STYLE as STYLE, escape};
use crate::train::duration;

/// Points by the model that they are of.
type Lines<'a> = BTreeMap<&'a str, Vec<(f64, f64)>>;

impl Report {
    /// A page of HTML with its pictures in it.
    pub fn to_html(&self) -> String {
        let name = escape(&self.name);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>{name}: how it was evolved</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{name}</h1>\n"
        );
        let _ = writeln!(page, "<p>{}</p>", escape(&self.summary()));
        page += "<h2>Search</h2>\n";
        let _ = writeln!(page, "<div class=\"wide\">{}</div>", self.fitness_chart());
        let _ = writeln!(page, "<p>{}</p>", escape(&self.search_words()));
        page += "<h2>On held-out questions</h2>\n";
        page += &self.table();
        if !self.genes.is_empty() {
            page += "<h2>What was found</h2>\n";
            let _ = writeln!(page, "<div class=\"wide\">{}</div>", self.gene_charts());
        }
        if !self.way.is_empty() {
            page += &self.way_table();
        }
        if let Some(recipe) = &self.recipe {
            let _ = writeln!(
                page,
                "<h2>Again</h2>\n<p>With the parents where they were, in the folder of this report: \
                 <code>sprat merge recipe.yml --out merged</code>{}</p>\n<pre>{}</pre>",
                match self.way.is_empty() {
                    true => "",
                    false =>
                        ", and then the way above, by <code>hop_layers</code> and <code>hop_scales</code> of \
                              config.json",
                },
                escape(recipe)
            );
        }
        page + "</body>\n</html>\n"
    }

    fn summary(&self) -> String {
        let mut words = format!(
            "A merge of {} models by {}. On the mean of {} skills it is {} {}, the best of its parents and of their \
             untuned merges: {}.",
            self.job.models.parents.len(),
            self.job.space.method,
            self.job.fitness.tasks.len(),
            verdict(&self.gain),
            self.gain.over,
            points(&self.gain),
        );
        for rival in &self.rivals {
            let _ = write!(
                words,
                " It is {} {}: {}.",
                verdict(rival),
                rival.over,
                points(rival)
            );
        }
        words
    }

    fn search_words(&self) -> String {
        let rate = self.evaluations as f64 / self.search_seconds.max(1e-9);
        format!(
            "{} candidates in {} generations and {}, {rate:.2} a second; {} genes. The winner's fitness on fresh \
             questions, by which it was chosen, is {:.3}.",
            self.evaluations,
            self.generations.len(),
            duration(self.search_seconds),
            self.genes.len(),
            self.selection,
        )
    }

    fn way_table(&self) -> String {
        let mut table = String::from(
            "<h3>Way through the layers</h3>\n<div class=\"wide\"><table>\n\
             <tr><th>hop</th><th>model</th><th>layer</th><th>scale</th></tr>\n",
        );
        for (i, hop) in self.way.iter().enumerate() {
            let _ = writeln!(
                table,
                "<tr><td>{i}</td><td>{}</td><td>{}</td><td>{:.3}</td></tr>",
                escape(&hop.model),
                hop.layer,
                hop.scale
            );
        }
        table + "</table></div>\n"
    }

    fn fitness_chart(&self) -> String {
        let line = |name: &str, value: fn(&super::Curve) -> Option<f64>, dots| Line {
            name: name.to_owned(),
            points: self
                .generations
                .iter()
                .filter_map(|g| Some((g.generation as f64, value(g)?)))
                .collect(),
            dots,
        };
        let lines = [
            line("best", |g| g.best, true),
            line("median", |g| g.median, false),
        ];
        let chart = Chart {
            title: "Fitness",
            label: "best and median of each generation",
            note: "of each generation:",
            lines: &lines,
        };
        chart.draw()
    }

    fn table(&self) -> String {
        let mut table =
            String::from("<div class=\"wide\"><table>\n<tr><th>model</th><th>mean</th>");
        let skills = self.models.first().map_or(&[][..], |model| &model.skills);
        for skill in skills {
            let _ = write!(table, "<th>{} ({})</th>", escape(skill.skill), skill.n);
        }
        table += "</tr>\n";
        for model in &self.models {
            table += &row(model);
        }
        table
            + "</table></div>\n<p>Share of right answers with 95 % intervals: Wilson's for each skill.</p>\n"
    }

    /// Each parameter over the layers, a line a model, a chart for each parameter and filter.
    fn gene_charts(&self) -> String {
        let mut charts: BTreeMap<(&str, &str), Lines<'_>> = BTreeMap::new();
        for gene in &self.genes {
            let model = gene.model.as_deref().unwrap_or("all models");
            let chart = charts.entry((gene.parameter, &gene.filter)).or_default();
            chart
                .entry(model)
                .or_default()
                .push((gene.group as f64, gene.value));
        }
        let mut html = String::from(
            "<p>Values from the first layer to the last, with straight lines between them.</p>\n",
        );
        for ((parameter, filter), models) in charts {
            let title = format!("{parameter} ({filter})");
            let several = models.values().any(|points| points.len() > 1);
            if several {
                let line = |(name, points): (&str, _)| Line {
                    name: name.to_owned(),
                    points,
                    dots: true,
                };
                let lines: Vec<Line> = models.into_iter().map(line).collect();
                let chart = Chart {
                    title: &title,
                    label: "values from the first layer to the last",
                    note: "",
                    lines: &lines,
                };
                html += &chart.draw();
            } else {
                let _ = writeln!(html, "<h3>{}</h3>\n<table>", escape(&title));
                for (model, points) in models {
                    let value = points.first().map_or(f64::NAN, |point| point.1);
                    let model = escape(model);
                    let _ = writeln!(html, "<tr><th>{model}</th><td>{value:.3}</td></tr>");
                }
                html += "</table>\n";
            }
        }
        html
    }
}

/// How the winner compares, in words.
fn verdict(gain: &Gain) -> &'static str {
    if gain.low > 0.0 {
        "better than"
    } else if gain.high < 0.0 {
        "worse than"
    } else {
        "not surely different from"
    }
}

fn points(gain: &Gain) -> String {
    let [difference, low, high] = [gain.difference, gain.low, gain.high].map(|x| 100.0 * x);
    format!("{difference:+.1} points (95 % interval {low:+.1} to {high:+.1})")
}

fn row(model: &Measured) -> String {
    let kind = match model.kind {
        Kind::Winner => "winner",
        Kind::First => "first stage",
        Kind::Parent => "parent",
        Kind::Untuned => "untuned merge",
        Kind::Rival => "rival",
    };
    let mut row = format!(
        "<tr class=\"{}\"><th>{}<br><small>{kind}</small></th>",
        if model.kind == Kind::Winner {
            "winner"
        } else {
            ""
        },
        escape(&model.name)
    );
    let cell = |share: f64, low: f64, high: f64| {
        let [share, low, high] = [share, low, high].map(|x| 100.0 * x);
        format!("<td>{share:.1} %<br><small>{low:.0}-{high:.0}</small></td>")
    };
    row += &cell(model.mean, model.low, model.high);
    for skill in &model.skills {
        row += &cell(skill.accuracy(), skill.low, skill.high);
    }
    row + "</tr>\n"
}
