// Puts the table of a run into bench/README.md, between two markers, so that the last run of the project's own machine stands
// there as it was printed. Pure: texts in, text out.

const BEGIN = '<!-- last run: begin -->';
const END = '<!-- last run: end -->';

/** Throws when the text has not exactly one place for the table. */
export function withTable(
  readme: string,
  { table, startedAt }: { readonly table: string; readonly startedAt: string },
): string {
  const [before, rest, ...more] = readme.split(BEGIN);
  const after = rest?.split(END);
  if (after?.length !== 2 || more.length > 0) throw new Error(`there is not one place between ${BEGIN} and ${END}`);
  const block = ['', `\`npm run bench\` of ${startedAt.slice(0, 10)}:`, '', '```', table, '```', ''].join('\n');
  return `${before}${BEGIN}\n${block}\n${END}${after[1]}`;
}
