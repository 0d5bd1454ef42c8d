/** What is claimed, as pairs of rows of the same model, point and calibration sets: `better` over `worse`. */
const pair = (claim, table, better, worse) => ({ claim, table, better, worse });

export const CLAIMS = [
  // Of the paper.
  pair('MKL over uniform, as published', 'strategy', 'mkl', 'uniform'),
  pair('activations over weights', 'init', 'activations, decoupled', 'weights, decoupled'),
  ...['activations', 'attention'].map((init) =>
    pair(`decoupled over joint, ${init}`, 'init', `${init}, decoupled`, `${init}, joint`),
  ),
  // Ours.
  pair('MKL over uniform, fitted', 'strategy', 'mkl, fitted', 'uniform, fitted'),
  pair('MKL over 2-norm, as published', 'strategy', 'mkl', 'norm2'),
  pair('MKL over 2-norm, fitted', 'strategy', 'mkl, fitted', 'norm2, fitted'),
  pair('greedy over MKL, plain', 'strategy', 'greedy', 'mkl'),
  pair('greedy over MKL, fitted', 'strategy', 'greedy, fitted', 'mkl, fitted'),
  pair('fitted over plain un-rotation, MKL', 'strategy', 'mkl, fitted', 'mkl'),
  pair('fitted over plain un-rotation, uniform', 'strategy', 'uniform, fitted', 'uniform'),
  pair('MKL by zeroing over un-rotating', 'strategy', 'mkl zero, fitted', 'mkl, fitted'),
  pair('MKL split by keys over rows', 'strategy', 'mkl keys, fitted', 'mkl, fitted'),
  pair('attention over activations', 'init', 'attention, decoupled', 'activations, decoupled'),
  pair(
    'attention over activations, centered',
    'init',
    'attention, decoupled, centered',
    'activations, decoupled, centered',
  ),
  pair('attention over activations, joint', 'init', 'attention, joint', 'activations, joint'),
  ...['activations', 'attention'].map((init) =>
    pair(`centered, ${init}`, 'init', `${init}, decoupled, centered`, `${init}, decoupled`),
  ),
  pair(
    'decoupled over joint, centered activations',
    'init',
    'activations, decoupled, centered',
    'activations, joint, centered',
  ),
  ...[2, 6].map((groups) =>
    pair(
      `${groups} groups`,
      'init',
      `activations, decoupled, ${groups} groups`,
      'activations, decoupled',
    ),
  ),
  pair(
    'calibrated on converted layers over the original',
    'init',
    'activations, decoupled',
    'best, calibrated on the original',
  ),
  pair('measured over uniform ranks', 'init', 'best, measured ranks', 'activations, decoupled'),
];
