// Completion scripts for bash, zsh and fish. They are static: completing a word starts no process of ours, needs no daemon and no
// root. Where a value is wanted, files are offered, as the shell does by itself.

import type { ProgramFacts, VerbFacts } from './verbs.ts';

export type Shell = 'bash' | 'zsh' | 'fish';

export function completionScript(shell: Shell, facts: ProgramFacts): string {
  return { bash, zsh, fish }[shell](facts);
}

/** What may follow each beginning of a verb, '' being the command itself: words of verbs, then options and choices. */
function wordsByPath({ verbs, everywhere }: ProgramFacts): ReadonlyMap<string, readonly string[]> {
  const words = new Map<string, string[]>();
  const add = (path: string, word: string): void => {
    const known = words.get(path) ?? [];
    if (!known.includes(word)) words.set(path, [...known, word]);
  };
  for (const verb of verbs) {
    for (const [depth, word] of verb.path.entries()) add(verb.path.slice(0, depth).join(' '), word);
    const path = verb.path.join(' ');
    for (const { choices } of verb.arguments) for (const choice of choices) add(path, choice);
    for (const { long } of [...verb.options, ...everywhere]) if (long !== null) add(path, long);
    add(path, '--help');
  }
  add('', '--help');
  add('', '--version');
  return words;
}

/** Lines of a shell's `case` over the words that are there already. */
function caseLines(facts: ProgramFacts, line: (words: string) => string): string {
  return [...wordsByPath(facts)].map(([path, words]) => `    '${path}') ${line(words.join(' '))} ;;`).join('\n');
}

function bash(facts: ProgramFacts): string {
  return `# bash completion of fabric: source <(fabric completion bash)
_fabric() {
  local path= word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [ -z "$(_fabric_words "\${path:+$path }$word")" ] || path="\${path:+$path }$word"
  done
  COMPREPLY=($(compgen -W "$(_fabric_words "$path")" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
_fabric_words() {
  case $1 in
${caseLines(facts, (words) => `echo '${words}'`)}
  esac
}
complete -o default -F _fabric fabric
`;
}

function zsh(facts: ProgramFacts): string {
  return `#compdef fabric
# zsh completion of fabric: fabric completion zsh > a file _fabric in a directory of $fpath
_fabric_words() {
  case $1 in
${caseLines(facts, (words) => `reply=(${words})`)}
    *) reply=() ;;
  esac
}
_fabric() {
  local here= word
  local -a reply
  for word in \${words[2,CURRENT-1]}; do
    _fabric_words "\${here:+$here }$word"
    if (( $#reply )); then here="\${here:+$here }$word"; fi
  done
  _fabric_words "$here"
  compadd -- $reply || _files
}
if [[ $funcstack[1] == _fabric ]]; then _fabric "$@"; else compdef _fabric fabric; fi
`;
}

function fish(facts: ProgramFacts): string {
  const lines = ['# fish completion of fabric: fabric completion fish > ~/.config/fish/completions/fabric.fish'];
  const groups = new Map<string, VerbFacts[]>();
  for (const verb of facts.verbs) groups.set(verb.path[0]!, [...(groups.get(verb.path[0]!) ?? []), verb]);
  for (const [first, verbs] of groups) {
    const [only] = verbs;
    const description = verbs.length === 1 && only!.path.length === 1 ? ` -d ${quoted(only!.description)}` : '';
    lines.push(`complete -c fabric -n __fish_use_subcommand -f -a ${first}${description}`);
  }
  for (const verb of facts.verbs) {
    const [first, second] = verb.path;
    const seen = (word: string): string => `__fish_seen_subcommand_from ${word}`;
    const inGroup = second === undefined ? seen(first!) : `${seen(first!)}; and ${seen(second)}`;
    if (second !== undefined) {
      const siblings = groups.get(first!)!.map(({ path }) => path[1]);
      const when = `${seen(first!)}; and not ${seen(siblings.join(' '))}`;
      lines.push(`complete -c fabric -n ${quoted(when)} -f -a ${second} -d ${quoted(verb.description)}`);
    }
    for (const { choices } of verb.arguments) {
      if (choices.length > 0) lines.push(`complete -c fabric -n ${quoted(inGroup)} -f -a ${quoted(choices.join(' '))}`);
    }
    for (const { long, description, value } of [...verb.options, ...facts.everywhere]) {
      if (long === null) continue;
      const flag = `-l ${long.slice(2)}${value === null ? '' : ' -r'}`;
      lines.push(`complete -c fabric -n ${quoted(inGroup)} ${flag} -d ${quoted(description)}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
