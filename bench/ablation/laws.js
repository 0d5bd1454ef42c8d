/**
 * What must hold of the smoke's cells, whatever the models are.
 * @param {Map<string, object>} cells results by row.
 * @returns {Record<string, boolean>}
 */
export function checkLaws(cells) {
  const [original, weights, joint, half, mkl] = [
    ...['original', 'all, weights', 'all, joint', 'half', 'mkl'],
  ].map((row) => cells.get(row));
  const near = (cell) => Math.abs(cell.nll - original.nll) < 1e-5; // float32 sums of another order
  const answers = ({ pictures }) => pictures.map(({ exact }) => exact).join();
  return {
    'everything kept is the original': near(weights) && answers(weights) === answers(original),
    'in one latent for both modalities too': near(joint) && answers(joint) === answers(original),
    'what is dropped is missed': weights.outputError < 1e-8 && half.outputError > 1e-6,
    'fewer bytes lose more': mkl.share < half.share && mkl.outputError > 1e-6,
    'every answer is counted': original.pictures.every(({ exact }) => /^[01]{8}$/.test(exact)),
  };
}
