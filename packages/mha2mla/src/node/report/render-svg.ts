/**
 * Draw a chart of ECharts as SVG text, without a DOM. The library (60 MB of files, half a second)
 * is loaded on the first call. What makes its drawings interactive is taken out: they are looked
 * at, in a page without scripts.
 */
import type { EChartsOption } from 'echarts';
import { escapeHtml } from './escape-html';
import { color } from './palette';

export interface RenderOptions {
  width: number;
  height: number;
  title: string;
  /** What a person who cannot see it should know. */
  description: string;
  /** Begins the ids of the drawing; one of its own on a page. */
  id: string;
}

const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif";
/** Of a character, in ems: fonts differ, and labels that are given too much room do not collide. */
const CHARACTER_WIDTH = 0.6;

/** @returns an `svg` element whose colours are CSS variables of the palette. */
export async function renderSvg(option: EChartsOption, options: RenderOptions): Promise<string> {
  loading ??= loadCharts();
  const init = await loading;
  const { width, height, id } = options;
  const chart = init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    chart.setOption({
      animation: false,
      backgroundColor: 'transparent',
      textStyle: { fontFamily: 'sans-serif', fontSize: 12, color: color('ink') },
      ...option,
    });
    return labelled(inert(chart.renderToSVGString(), id), options);
  } finally {
    chart.dispose();
  }
}

let loading: ReturnType<typeof loadCharts> | undefined;

async function loadCharts() {
  const [core, charts, components, renderers] = await Promise.all([
    import('echarts/core'),
    import('echarts/charts'),
    import('echarts/components'),
    import('echarts/renderers'),
  ]);
  core.use([
    charts.BarChart,
    charts.CustomChart,
    charts.LineChart,
    charts.ScatterChart,
    components.GridComponent,
    components.LegendComponent,
    components.MarkLineComponent,
    components.TitleComponent,
    renderers.SVGRenderer,
  ]);
  core.setPlatformAPI({
    measureText: (text = '', font = '12px') => ({
      width: CHARACTER_WIDTH * Number.parseFloat(/[\d.]+px/.exec(font)?.[0] ?? '12') * text.length,
    }),
  });
  return core.init;
}

/**
 * Without styles and pointers, so that a page need not allow styles in attributes; ids begin with
 * the drawing's own, not with a count of the process.
 */
function inert(svg: string, id: string): string {
  return svg
    .replace(/ style="((?:[\w-]+:[^;"]*;)*)"/g, (_, styles: string) => asAttributes(styles))
    .replace(/<style\s*>[\s\S]*?<\/style>\n?/g, '')
    .replace(/ (?:pointer-events="\w+"|class="zr[\w -]*"|ecmeta_\w+="[^"]*")/g, '')
    .replace(
      /<rect width="\d+" height="\d+" x="0" y="0" fill="(?:none|transparent)"><\/rect>\n?/,
      '',
    )
    .replace(/\bzr\d+-/g, `${id}-`);
}

/** `font-size:12px;` as ` font-size="12px"`; the font is that of the whole drawing. */
function asAttributes(styles: string): string {
  const pairs = [...styles.matchAll(/([\w-]+):([^;]*);/g)];
  return pairs
    .filter(([, name]) => name !== 'font-family')
    .map(([, name, value]) => ` ${name}="${value}"`)
    .join('');
}

/** As an image with a name and a description. */
function labelled(svg: string, { width, height, title, description, id }: RenderOptions): string {
  const open = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"`,
    ` font-family="${FONT}" role="img" aria-labelledby="${id}-title ${id}-desc">`,
    `<title id="${id}-title">${escapeHtml(title)}</title>`,
    `<desc id="${id}-desc">${escapeHtml(description)}</desc>`,
  ].join('');
  return open + svg.trim().replace(/^<svg[^>]*>/, '');
}
