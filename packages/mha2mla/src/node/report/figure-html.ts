/** Figures and tables of the report as HTML. */
import { escapeHtml } from './escape-html';
import type { Figure, Table } from './figure';

export function figureHtml({ title, caption, drawings, ramp, table }: Figure): string {
  const wide = drawings.length > 1 ? ' class="wide"' : '';
  const steps = ramp
    ? `<div class="ramp" aria-hidden="true">${escapeHtml(ramp.first)}<i></i>${escapeHtml(ramp.last)}</div>`
    : '';
  return [
    `<figure${wide}><figcaption><h3>${escapeHtml(title)}</h3><p>${escapeHtml(caption)}</p></figcaption>`,
    `<div class="drawings">${drawings.map((svg) => `<div class="scroll">${svg}</div>`).join('')}</div>`,
    `${steps}${detailsHtml('Figures as a table', table)}</figure>`,
  ].join('');
}

/** Cells beyond that take lines of their own. */
const LONG_CELL = 48;

export function detailsHtml(summary: string, table: Table): string {
  return `<details><summary>${escapeHtml(summary)}</summary><div class="scroll" tabindex="0">${tableHtml(table)}</div></details>`;
}

/** Rows that are good or bad news have that class. */
export function tableHtml({ head, rows, marks = [] }: Table): string {
  const cell = (text: string) =>
    `<td${text.length > LONG_CELL ? ' class="long"' : ''}>${escapeHtml(text)}</td>`;
  const titles = head.map((name) => `<th scope="col">${escapeHtml(name)}</th>`).join('');
  const mark = (row: number) => (marks[row] ? ` class="${marks[row]}"` : '');
  const lines = rows.map((row, i) => `<tr${mark(i)}>${row.map(cell).join('')}</tr>`).join('');
  return `<table><thead><tr>${titles}</tr></thead><tbody>${lines}</tbody></table>`;
}
