// The manifest and the chart, without a cluster and without helm: they agree with each other, with the CLI, with the daemon's
// paths and ports, and with the capabilities of the systemd unit, in which the end-to-end tests run fabric.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { CNI_BIN_DIR, CNI_CONF_DIR } from '../../src/cli/default-places.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { CAPABILITIES } from '../../src/cli/systemd-unit.ts';
import { HTTP_DEFAULT } from '../../src/daemon/http/http-options.ts';
import { VERSION } from '../../src/daemon/version.ts';

const read = (path: string): string => readFileSync(new URL(`../../deploy/${path}`, import.meta.url), 'utf8');

interface Probe {
  readonly httpGet: { readonly host: string; readonly port: number; readonly path: string };
}

interface DaemonSet {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly hostNetwork: boolean;
        readonly hostPID: boolean;
        readonly volumes: readonly { readonly name: string; readonly hostPath?: { readonly path: string } }[];
        readonly containers: readonly [
          {
            readonly image: string;
            readonly command: readonly [string, string, string];
            readonly env: readonly { readonly name: string }[];
            readonly securityContext: {
              readonly privileged: boolean;
              readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
            };
            readonly readinessProbe: Probe;
            readonly livenessProbe: Probe;
            readonly volumeMounts: readonly {
              readonly name: string;
              readonly mountPath: string;
              readonly mountPropagation?: string;
            }[];
          },
        ];
      };
    };
  };
}

const manifest = parse(read('kubernetes/fabric.yaml')) as DaemonSet;
const { spec: pod, metadata } = manifest.spec.template;
const [container] = pod.containers;
const script = container.command[2];

describe('the manifest', () => {
  test('selects its own pods', () => {
    expect(metadata.labels).toMatchObject(manifest.spec.selector.matchLabels);
  });

  test('runs in the namespaces of the host', () => {
    expect([pod.hostNetwork, pod.hostPID]).toEqual([true, true]);
  });

  test('gives flags that fabric launch has', () => {
    const launch = buildProgram().commands.find((command) => command.name() === 'launch')!;
    const known = new Set(launch.options.map(({ long }) => long));
    const line = script.split('\n').filter((text) => /fabric launch|set --/.test(text));
    const given = line.join(' ').match(/--[a-z][a-z0-9-]*/g)!;
    expect(given.length).toBeGreaterThan(4);
    expect(given.filter((flag) => !known.has(flag))).toEqual([]);
  });

  test('sets every variable that its script reads, and no other', () => {
    const asked = new Set([...script.matchAll(/\$([A-Z_]+)/g)].map((match) => match[1]));
    expect(new Set(container.env.map(({ name }) => name))).toEqual(asked);
  });

  test('has the capabilities of the systemd unit, and no more', () => {
    const { privileged, capabilities } = container.securityContext;
    expect(privileged).toBe(false);
    expect(capabilities.drop).toEqual(['ALL']);
    expect(capabilities.add.map((name) => `CAP_${name}`)).toEqual([...CAPABILITIES]);
  });

  test('asks the port for reading, on loopback', () => {
    const { ip: host, port } = HTTP_DEFAULT;
    expect(container.readinessProbe.httpGet).toEqual({ host, port, path: '/readyz' });
    expect(container.livenessProbe.httpGet).toEqual({ host, port, path: '/healthz' });
  });

  test('mounts what it declares, at the places where the daemon looks', () => {
    const mounts = new Map(container.volumeMounts.map((mount) => [mount.mountPath, mount]));
    expect(new Set(container.volumeMounts.map(({ name }) => name))).toEqual(
      new Set(pod.volumes.map(({ name }) => name)),
    );
    for (const path of ['/var/lib/fabric', '/run/fabric', '/dev/net/tun', CNI_CONF_DIR, CNI_BIN_DIR]) {
      const volume = pod.volumes.find(({ name }) => name === mounts.get(path)?.name);
      expect(volume?.hostPath?.path).toBe(path);
    }
    expect(mounts.get('/run/netns')?.mountPropagation).toBe('HostToContainer');
    expect(script).toContain('--token-file /etc/fabric/token');
    expect(mounts.has('/etc/fabric')).toBe(true);
  });

  test('is of this version', () => {
    expect(container.image).toBe(`fabric-overlay:${VERSION}`);
  });
});

describe('the chart', () => {
  type Value = string | number | readonly Value[] | { readonly [name: string]: Value };
  const values = parse(read('helm/fabric/values.yaml')) as Value;
  const template = read('helm/fabric/templates/daemonset.yaml');
  const asked = new Set<string>();

  const defaultOf = (path: string): Value => {
    asked.add(path);
    const value = path.split('.').reduce<Value | undefined>((at, name) => (at as Record<string, Value>)[name], values);
    if (value === undefined) throw new Error(`values.yaml has no ${path}`);
    return value;
  };
  /** What helm makes of the few forms that the chart keeps to; anything else is an error. */
  const rendered = template.replaceAll(/\{\{ (.*?) \}\}/g, (_, expression: string) => {
    if (expression === '.Release.Namespace') return 'kube-system';
    const [, path, form] = /^\.Values\.([\w.]+)(?: \| (toJson|quote))?$/.exec(expression) ?? [];
    if (path === undefined) throw new Error(`the template says ${expression}`);
    return form === undefined ? String(defaultOf(path)) : JSON.stringify(defaultOf(path));
  });

  test('makes the manifest with its default values', () => {
    expect(parse(rendered)).toEqual(manifest);
  });

  test('uses every value', () => {
    const leaves = [...asked].map((path) => path.split('.')[0]);
    expect(new Set(leaves)).toEqual(new Set(Object.keys(values)));
  });

  test('is of this version', () => {
    expect(parse(read('helm/fabric/Chart.yaml'))).toMatchObject({ version: VERSION, appVersion: VERSION });
  });
});
