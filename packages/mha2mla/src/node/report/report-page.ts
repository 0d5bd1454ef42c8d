/**
 * The report as one HTML page that needs nothing else: no network, no script, drawings in place.
 * Its policy allows its own style, by its hash, and nothing more. All text of files is escaped.
 */
import { createHash } from 'node:crypto';
import { accuracyFigure, plotFigure } from './accuracy-figure';
import { bytesFigure } from './bytes-figure';
import { escapeHtml, escapeJson, label } from './escape-html';
import { figureHtml, tableHtml } from './figure-html';
import { kindsFigure } from './kinds-figure';
import { PAGE_STYLE } from './page-style';
import { type Result, resultsOf, resultsTable } from './results';
import type { RunData } from './run-data';
import { runSection } from './run-section';
import { summaryOf } from './summary';

/** @param runs of {@link loadRuns}, at least one. */
export async function reportPage(runs: readonly RunData[]): Promise<string> {
  const drawn = withoutRepeats(runs);
  const results = resultsOf(drawn);
  const overview = [
    await accuracyFigure(drawn, results, 'accuracy'),
    await kindsFigure(results, 'kinds'),
    await bytesFigure(drawn, 'bytes'),
  ].filter((figure) => figure !== undefined);
  for (const [index, plot] of drawn.flatMap(({ plots }) => plots).entries()) {
    overview.push(await plotFigure(plot, `plot${index}`));
  }
  const sections: Section[] = [];
  for (const [index, run] of drawn.entries()) {
    const id = `run${index}`;
    sections.push({ id, name: label(run.name), html: await runSection(run, id) });
  }
  const families = [...new Set(drawn.flatMap(({ conversion }) => conversion?.family ?? []))];
  const title = label(families.length > 0 ? families.join(', ') : drawn[0]!.name);
  const summary = summaryOf(drawn, results).map((line) => `<li>${escapeHtml(line)}</li>`);
  const body = [
    `<header><h1>Conversion to latent attention: ${escapeHtml(title)}</h1>`,
    '<p>What was kept, what it cost, and what the cache takes.</p>',
    summary.length > 0 ? `<ul class="summary">${summary.join('')}</ul>` : '',
    contents(sections),
    '</header><main>',
    resultsHtml(results),
    overview.length > 0
      ? `<h2>Overview</h2><div class="figures">${overview.map(figureHtml).join('')}</div>`
      : '',
    ...sections.map(({ html }) => html),
    '</main><footer>Made by mha2mla report. The figures are in the page as JSON, too, under the id <code>data</code>.</footer>',
    `<script type="application/json" id="data">${escapeJson(runs)}</script>`,
  ];
  return pageHtml(`${title}: mha2mla report`, body.join('\n'));
}

/** A healed model has the report of its conversion: where that is drawn already, it is once enough. */
function withoutRepeats(runs: readonly RunData[]): RunData[] {
  const texts = runs.map(({ conversion }) => conversion && JSON.stringify(conversion));
  return runs.map((run, index) => {
    const { conversion, ...rest } = run;
    const first = runs.findIndex(
      ({ losses }, i) => texts[i] === texts[index] && (!losses || i < index),
    );
    if (!conversion || !run.losses || first < 0 || first === index) return run;
    return { ...rest, convertedAs: runs[first]!.name };
  });
}

function resultsHtml(results: readonly Result[]): string {
  if (results.length === 0) return '';
  const counts = results.map(({ questions }) => questions);
  const asked = [...new Set([Math.min(...counts), Math.max(...counts)])].join(' to ');
  const note = `Greedy answers that match exactly, of ${asked} questions; nll is the negative log-likelihood of a token of the right answers, lower is better. Chance: the same questions drawn again, 19 times in 20.`;
  return `<h2>What was kept</h2><div class="scroll results" tabindex="0">${tableHtml(resultsTable(results))}</div><p>${escapeHtml(note)}</p>`;
}

function pageHtml(title: string, body: string): string {
  const hash = createHash('sha256').update(PAGE_STYLE).digest('base64');
  const policy = `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}</style>
</head>
<body>
${body}
</body>
</html>
`;
}

interface Section {
  id: string;
  name: string;
  /** Empty where a run has nothing of its own, such as plots that are in the overview. */
  html: string;
}

function contents(sections: readonly Section[]): string {
  const links = sections
    .filter(({ html }) => html !== '')
    .map(({ id, name }) => `<li><a href="#${id}">${escapeHtml(name)}</a></li>`);
  if (links.length < 2) return '';
  return `<nav aria-label="Runs"><ul>${links.join('')}</ul></nav>`;
}
