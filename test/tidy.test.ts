// What no linter checks: who may import whom, that pure folders have no clock, randomness or I/O, that no file is dead, too
// long or without an opening comment, and that the documents point to things that exist.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const LINES_MAX = 450;

/** Folders of src and what each may import besides itself. Whatever the cores share lies in base. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  gossip: ['base'],
  ipam: ['base'],
  router: ['base'],
  'cni-plugin': ['base'],
  dns: ['base'],
  'docker-plugin': ['base'],
  doctor: ['base'],
  host: ['base', 'doctor'],
  daemon: ['base', 'gossip', 'ipam', 'router', 'cni-plugin', 'dns', 'docker-plugin', 'host'],
  cli: ['base', 'doctor', 'daemon', 'host'],
};
/** Pure npm packages that a folder without effects uses. */
const PURE_PACKAGES: Readonly<Record<string, readonly string[]>> = {
  base: ['ip6addr'],
  gossip: ['protobufjs/light.js'],
  dns: ['dns-packet'],
};
/** Files in which effects are allowed: capabilities, datapaths, composition root, command. */
const HAS_EFFECTS = /^src\/(host|daemon|cli|router\/(pcap|engine))\//;
const IMPURE =
  /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|process\.|hrtime|setTimeout|setInterval|setImmediate|queueMicrotask|crypto\.getRandomValues|fetch\(|console\.)/;

interface Source {
  /** From the root of the checkout, with slashes. */
  readonly path: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
}

function filesBelow(folder: string, accept: RegExp): Source[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && accept.test(entry.name))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((path) => !/(^|\/)(build|node_modules|corpus|out)\//.test(path))
    .map((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      return { path, text, code: withoutComments(text) };
    });
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|[\s;,{}()])\/\/.*$/gm, '$1');
}

/** The modules that a file names: `import … from`, `export … from`, `import '…'`, `import('…')`, `import type` included. */
function importsOf({ code }: Source): string[] {
  return [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)].map((match) => match[1]!);
}

function folderOf(path: string): string {
  return path.split('/')[1]!;
}

/** A relative import as a path from the root. */
function target(source: Source, specifier: string): string {
  return normalize(join(dirname(source.path), specifier));
}

const SRC = filesBelow('src', /\.ts$/);
const TESTS = filesBelow('test', /\.ts$/);
const BENCH = filesBelow('bench', /\.ts$/);
const UI = filesBelow('ui', /\.ts$/);
const SCRIPTS = filesBelow('scripts', /\.m[jt]s$/);
const NATIVE = filesBelow('native', /\.(cc|h)$/);
const DOCUMENTS = [...filesBelow('docs', /\.md$/), ...filesBelow('.', /^(README|CONTRIBUTING|CHANGELOG)\.md$/)];
const ALL = [...SRC, ...UI, ...TESTS, ...BENCH, ...SCRIPTS, ...NATIVE];

describe('imports', () => {
  test('folders of src import only what lies below them', () => {
    const wrong = SRC.flatMap((source) =>
      importsOf(source)
        .filter((specifier) => specifier.startsWith('.'))
        .map((specifier) => target(source, specifier))
        .filter((path) => {
          const from = folderOf(source.path);
          const to = folderOf(path);
          return !path.startsWith('src/')
            ? !path.endsWith('package.json')
            : from !== to && !MAY_IMPORT[from]?.includes(to);
        })
        .map((path) => `${source.path} imports ${path}`),
    );
    expect(wrong).toEqual([]);
  });

  test('every folder of src has its rule', () => {
    expect(Object.keys(MAY_IMPORT).sort()).toEqual(readdirSync(join(ROOT, 'src')).sort());
  });

  test('only host, datapaths, daemon and cli import node: modules or packages with effects', () => {
    const wrong = SRC.filter(({ path }) => !HAS_EFFECTS.test(path)).flatMap((source) =>
      importsOf(source)
        .filter((specifier) => !specifier.startsWith('.'))
        .filter((specifier) => !PURE_PACKAGES[folderOf(source.path)]?.includes(specifier))
        .map((specifier) => `${source.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test('the page takes types of the daemon, and of its code only what needs no daemon', () => {
    const PLAIN = ['src/cli/status/rates.ts', 'src/cli/table.ts'];
    const wrong = UI.flatMap((source) =>
      [...source.code.matchAll(/^import (type )?[^;]*? from '([^']+)'/gms)]
        .filter(([, isType]) => isType === undefined)
        .map(([, , specifier]) => target(source, specifier!))
        .filter((path) => !path.startsWith('ui/') && !PLAIN.includes(path))
        .map((path) => `${source.path} imports ${path}`),
    );
    expect(UI.length).toBeGreaterThan(5);
    expect(wrong).toEqual([]);
  });

  test('the product imports no test, and tests no compiled file', () => {
    const wrong = [...SRC, ...TESTS].flatMap((source) =>
      importsOf(source)
        .filter((specifier) => specifier.startsWith('.'))
        .filter((specifier) => /^(dist|test)\//.test(target(source, specifier)))
        .filter((specifier) => source.path.startsWith('src/') || target(source, specifier).startsWith('dist/'))
        .map((specifier) => `${source.path} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });
});

test('pure folders have no clock, timer, randomness, process or console', () => {
  const wrong = SRC.filter(({ path }) => !HAS_EFFECTS.test(path)).flatMap(({ path, code }) =>
    code
      .split('\n')
      .filter((line) => IMPURE.test(line))
      .map((line) => `${path}: ${line.trim()}`),
  );
  expect(wrong).toEqual([]);
});

test('TM30 nothing is run by a shell: programs get their arguments as a list', () => {
  const wrong = SRC.flatMap(({ path, code }) =>
    code
      .split('\n')
      .filter((line) => /(?<![.#])\bexec(Sync)?\(|\bshell: ?(true|['"`])|['"`]-l?c['"`]|\/(ba|da)?sh['"`]/.test(line))
      .map((line) => `${path}: ${line.trim()}`),
  );
  const native = NATIVE.filter(({ code }) => /\b(system|popen)\s*\(/.test(code)).map(({ path }) => path);
  expect([...wrong, ...native]).toEqual([]);
});

describe('no dead files', () => {
  /** Every file that is reached from `roots` by imports. */
  function reached(roots: readonly string[], sources: readonly Source[]): Set<string> {
    const byPath = new Map(sources.map((source) => [source.path, source]));
    const found = new Set<string>();
    const queue = [...roots];
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      const source = byPath.get(path);
      if (source === undefined || found.has(path)) continue;
      found.add(path);
      for (const specifier of importsOf(source)) if (specifier.startsWith('.')) queue.push(target(source, specifier));
    }
    return found;
  }

  test('every file of src is reached from the command', () => {
    const live = reached(['src/cli/main.ts'], SRC);
    const dead = SRC.map(({ path }) => path).filter((path) => !path.endsWith('.d.ts') && !live.has(path));
    expect(dead).toEqual([]);
  });

  test('every file of test and bench is a test, a program that is started, or imported by one', () => {
    const everything = [...TESTS, ...BENCH];
    const isNamed = ({ path }: Source) => {
      const compiled = path.split('/').at(-1)!.replace(/\.ts$/, '');
      return [...everything, ...SCRIPTS].some(
        (other) => other.path !== path && new RegExp(`['/]${compiled}\\.(js|ts)['"\`]`).test(other.code),
      );
    };
    const roots = everything.filter(
      (source) => source.path.endsWith('.test.ts') || /from 'tap'/.test(source.code) || isNamed(source),
    );
    const live = reached(
      roots.map(({ path }) => path),
      everything,
    );
    expect(everything.map(({ path }) => path).filter((path) => !live.has(path))).toEqual([]);
  });

  test('every C++ file is built or included', () => {
    const build = readFileSync(join(ROOT, 'native/binding.gyp'), 'utf8');
    const scripts = filesBelow('native', /\.(sh|mk)$/);
    const dead = NATIVE.filter(({ path }) => {
      const name = path.split('/').at(-1)!;
      if (name.endsWith('.h')) return !NATIVE.some((other) => other.code.includes(`${name}"`));
      return !build.includes(name) && !scripts.some(({ text }) => text.includes(name));
    });
    expect(dead.map(({ path }) => path)).toEqual([]);
  });
});

describe('files', () => {
  test(`no file is longer than ${LINES_MAX} lines`, () => {
    const long = ALL.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 }));
    expect(long.filter(({ lines }) => lines > LINES_MAX)).toEqual([]);
  });

  test('every file opens with a comment that says what it is; names of unit tests and C++ headers do it for theirs', () => {
    const headers = new Set(NATIVE.map(({ path }) => path));
    const isExplained = (path: string) =>
      path.endsWith('.test.ts') || (path.endsWith('.cc') && headers.has(path.replace(/cc$/, 'h')));
    const silent = ALL.filter(({ path, text }) => !isExplained(path) && !/^(#![^\n]*\n)?(\/\/|\/\*)/.test(text));
    expect(silent.map(({ path }) => path)).toEqual([]);
  });

  test('nothing is left for later in a comment', () => {
    const later = ALL.flatMap(({ path, text }) =>
      text
        .split('\n')
        .filter((line) => /(\/\/|^\s*\*|\/\*).*\b(TO\x44O|FIX\x4dE|XX\x58|HAC\x4b)\b/.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
    expect(later).toEqual([]);
  });

  test('no file is named after nothing', () => {
    const vague = ALL.filter(({ path }) => /(^|[-/])(utils?|helpers?|managers?|common|misc)([-./]|$)/.test(path));
    expect(vague.map(({ path }) => path)).toEqual([]);
  });

  test('no test is switched off or alone', () => {
    const off = TESTS.filter(({ code }) =>
      /\b(test|describe|it|t)\.(only|todo)\(|\b(xit|xtest|xdescribe)\(/.test(code),
    );
    expect(off.map(({ path }) => path)).toEqual([]);
  });
});

test('every npm package is used somewhere', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };
  const settings = ['native/binding.gyp', 'biome.json', 'vitest.config.ts', '.taprc'];
  const texts = [...ALL.map(({ text }) => text), ...settings.map((path) => readFileSync(join(ROOT, path), 'utf8'))];
  const unused = Object.keys({ ...dependencies, ...devDependencies })
    .filter((name) => !name.startsWith('@types/'))
    .filter((name) => !texts.some((text) => text.includes(name)));
  expect(unused).toEqual([]);
});

test('tests that the documents name are there', () => {
  const gone = DOCUMENTS.flatMap(({ path, text }) =>
    [...text.matchAll(/\btest\/[\w/.-]+\.(ts|json)\b/g)]
      .map(([name]) => name)
      .filter((name) => !existsSync(join(ROOT, name)))
      .map((name) => `${path} → ${name}`),
  );
  expect(gone).toEqual([]);
});

test('links of the documents lead to files of the checkout', () => {
  const broken = DOCUMENTS.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1]!.replace(/#.*$/, ''))
      .filter((link) => link !== '' && !/^[a-z]+:/.test(link))
      .filter((link) => !existsSync(join(ROOT, dirname(path), link)))
      .map((link) => `${path} → ${link}`),
  );
  expect(broken).toEqual([]);
});
