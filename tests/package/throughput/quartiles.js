/** Quartiles with linear interpolation. @param {number[]} values at least one @returns {{ q1: number, median: number, q3: number }} */
export function quartiles(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => {
    const index = (sorted.length - 1) * share;
    const [below, above] = [sorted[Math.floor(index)], sorted[Math.ceil(index)]];
    return below + (above - below) * (index % 1);
  };
  return { q1: at(0.25), median: at(0.5), q3: at(0.75) };
}
