// The documents that describe machine-readable things say what the code does: error codes, status fields, the local API.

import { readFileSync } from 'node:fs';
import * as prom from 'prom-client';
import { describe, expect, test } from 'vitest';
import { CNI_CODE } from '../src/cni-plugin/cni-error.ts';
import { type ApiPorts, apiRoutes, type MemberApi } from '../src/daemon/api-routes.ts';
import type { EventJournal } from '../src/daemon/events/event-journal.ts';
import { EVENT_KINDS } from '../src/daemon/events/event-kinds.ts';
import { eventRoutes } from '../src/daemon/events/event-routes.ts';
import { Metrics } from '../src/daemon/metrics/metrics.ts';
import { FINDING_CODES } from '../src/doctor/finding.ts';
import { TUNNEL_DROPS } from '../src/router/tunnel-options.ts';
import { PROBE_DROPS } from '../src/router/vxlan/vxlan-paths.ts';
import { someFacts } from './daemon/metrics/some-facts.ts';
import { ManualClock } from './fakes/manual-clock.ts';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

interface Schema {
  readonly type?: string | readonly string[];
  readonly enum?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly $ref?: string;
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const api = JSON.parse(read('docs/openapi.json')) as OpenApi;
const errorCodes = [...read('src/base/errors.ts').matchAll(/^ {2}\| '([a-z-]+)'/gm)].map((match) => match[1]!);
const statusTypes = read('src/daemon/status-types.ts');
/** The field names of `interface NAME { … }`, also those of objects nested in it. */
const fieldsOf = (name: string) => {
  const body = new RegExp(`interface ${name} \\{([\\s\\S]*?)\\n\\}`).exec(statusTypes)![1]!;
  return [...body.matchAll(/readonly (\w+)\??:/g)].map((match) => match[1]!);
};

describe('docs/errors.md', () => {
  test('explains every error code and no other, in the order of the code', () => {
    const explained = [...read('docs/errors.md').matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]!);
    expect(explained).toEqual(errorCodes);
  });
});

describe('docs/cni.md', () => {
  test('explains every error code of the plugin and no other', () => {
    const explained = [...read('docs/cni.md').matchAll(/^\| (\d+) \|/gm)].map((match) => Number(match[1]));
    expect(explained).toEqual(Object.values(CNI_CODE));
  });
});

describe('docs/wire-format.md', () => {
  test('explains every reason for which a handshake datagram is dropped', () => {
    const section = read('docs/wire-format.md').split('## What is dropped')[1]!.split('\n## ')[0]!;
    const rows = [...section.matchAll(/^\| (`.*?`) \|/gm)].flatMap((match) => match[1]!.split(', '));
    expect(rows.map((name) => name.replaceAll('`', '')).sort()).toEqual([...TUNNEL_DROPS].sort());
  });
});

describe('docs/vxlan.md', () => {
  test('explains every reason for which a probe is dropped, and no others', () => {
    const section = read('docs/vxlan.md').split('## What is dropped')[1]!;
    const rows = [...section.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]);
    expect(rows).toEqual([...PROBE_DROPS]);
  });
});

describe('docs/weave-scenarios.md', () => {
  test('names tests that are there', () => {
    const rows = read('docs/weave-scenarios.md')
      .split('\n')
      .flatMap((line) => [...line.matchAll(/(test\/e2e\/[a-z-]+\.ts): (.*?)(?=; test\/e2e\/| \|$)/g)]);
    expect(rows.length).toBeGreaterThan(30);
    const gone = rows.filter(([, file, name]) => !read(file!).includes(name!));
    expect(gone.map(([row]) => row)).toEqual([]);
  });
});

describe('docs/dns.md', () => {
  test('explains every counter', () => {
    const counted = ['forwarder', 'name-service'].flatMap((file) => {
      const body = /interface \w+Counters[^{]*\{([\s\S]*?)\n\}/.exec(read(`src/dns/${file}.ts`))![1]!;
      return [...body.matchAll(/^ {2}(\w+): number;/gm)].map((match) => match[1]!);
    });
    expect(counted.length).toBeGreaterThan(8);
    const text = read('docs/dns.md').split('## Counters')[1]!;
    expect(counted.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('docs/leases.md', () => {
  test('explains every counter of dropped lease messages and records', () => {
    const text = read('docs/leases.md').split('## Drops')[1]!;
    const sources = [
      'exchange',
      'ipam',
      'estate',
      'lease-view',
      'space-requests',
      'holdings',
      'claims',
      'giving',
      'reclaim/voting',
    ];
    const counted = sources.flatMap((name) =>
      [...read(`src/ipam/${name}.ts`).matchAll(/\bdrop(?:\(|: )'([a-z-]+)'/g)].map((match) => match[1]!),
    );
    expect(counted.length).toBeGreaterThan(3);
    expect(counted.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });
});

describe('docs/events.md', () => {
  test('explains every kind of event and no other, in the order of the code', () => {
    const rows = read('docs/events.md').split('| kind | meaning |')[1]!;
    const explained = [...rows.matchAll(/^\| (`.*?`) \|/gm)].flatMap((match) => match[1]!.split(', '));
    expect(new Set(explained.map((kind) => kind.replaceAll('`', '')))).toEqual(new Set(EVENT_KINDS));
    expect(api.components.schemas.Event?.properties?.kind?.enum).toEqual([...EVENT_KINDS]);
  });
});

describe('docs/metrics.md', () => {
  const explained = [...read('docs/metrics.md').matchAll(/^\| `([a-z_]+)` \| (\w+) \|/gm)].map((match) => [
    match[1],
    match[2],
  ]);

  test('explains every metric and no other, with its type', async () => {
    const metrics = new Metrics({ prom, clock: new ManualClock(), gather: () => someFacts() });
    const { text } = await metrics.text();
    const served = [...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map((match) => [match[1], match[2]]);
    expect(served.length).toBeGreaterThan(40);
    expect(explained.sort()).toEqual(served.sort());
  });

  test('explains every alert, which asks for metrics that are there', () => {
    const rules = read('deploy/prometheus/fabric.rules.yml');
    const alerts = [...rules.matchAll(/- alert: (\w+)/g)].map((match) => match[1]);
    expect([...read('docs/metrics.md').matchAll(/^\| `(Fabric\w+)` \|/gm)].map((match) => match[1])).toEqual(alerts);
    const known = new Set(explained.map(([name]) => name));
    const asked = [rules, read('deploy/prometheus/fabric-dashboard.json')].flatMap((text) =>
      [...text.matchAll(/\bfabric_[a-z_]+/g)].map((match) => match[0].replace(/_(bucket|sum|count)$/, '')),
    );
    expect(asked.length).toBeGreaterThan(20);
    expect(asked.filter((name) => !known.has(name))).toEqual([]);
  });
});

describe('docs/status.md', () => {
  const text = read('docs/status.md');

  test('names every field', () => {
    const interfaces = [...statusTypes.matchAll(/interface (\w+) \{/g)].map((match) => match[1]!);
    const silent = interfaces.flatMap((name) =>
      fieldsOf(name)
        .filter((field) => !new RegExp(`\`([a-zA-Z]+\\.)?${field}(\\[\\])?\``).test(text))
        .map((field) => `${name}.${field}`),
    );
    expect(silent).toEqual([]);
  });

  test('explains every value of every enum', () => {
    const values = Object.values(api.components.schemas).flatMap((schema) => schema.properties?.state?.enum ?? []);
    expect(values.length).toBeGreaterThan(15);
    expect(values.filter((value) => !text.includes(`\`${value}\``))).toEqual([]);
  });

  test('explains every problem that health can report', () => {
    const health = ['health', 'lease-problems', 'certificate-problems']
      .map((name) => read(`src/daemon/${name}.ts`))
      .join();
    const codes = [...health.matchAll(/(?:add\(\s*|code: )'([a-z-]+)'/g)].map((match) => match[1]!);
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.filter((code) => !text.includes(`| \`${code}\` |`))).toEqual([]);
  });
});

describe('docs/doctor.md', () => {
  test('explains every finding and no other, in the order of the code', () => {
    const rows = [
      ...read('docs/doctor.md')
        .split('## Findings')[1]!
        .matchAll(/^\| `([a-z0-9-]+)` \| (error|warning) \|/gm),
    ];
    expect(rows.map((match) => match[1])).toEqual([...FINDING_CODES]);
    const made = ['machine', 'underlay', 'filter', 'overlay', 'peer'].map((name) =>
      read(`src/doctor/${name}-checks.ts`),
    );
    for (const [, code, severity] of rows) {
      expect([code, made.join('').includes(`finding('${code}', '${severity}'`)]).toEqual([code, true]);
    }
  });
});

describe('docs/openapi.json', () => {
  const ports = { observed: eventRoutes({} as EventJournal) } as unknown as ApiPorts;
  const membership = { member: { attachments: {}, names: {} }, pendingDeletes: {} } as unknown as MemberApi;

  test('describes exactly the routes that the daemon serves', () => {
    const described = Object.entries(api.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.sort()).toEqual(Object.keys(apiRoutes(ports, membership)).sort());
  });

  test('says of each route whether it is there before this host has joined', () => {
    const early = Object.keys(apiRoutes(ports));
    for (const [path, methods] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        const isLate = JSON.stringify(operation).includes('Only once this host is a member');
        expect([path, isLate]).toEqual([path, !early.includes(`${method.toUpperCase()} ${path}`)]);
      }
    }
  });

  test('knows every error code', () => {
    expect(api.components.schemas.Error?.properties?.error?.properties?.code?.enum).toEqual(errorCodes);
  });

  test('describes every field of status', () => {
    const rows = {
      Problem: 'Problem',
      Peer: 'PeerRow',
      Tunnel: 'TunnelRow',
      Route: 'RouteRow',
      Lease: 'LeaseRow',
      Attachment: 'AttachmentRow',
      Reservation: 'ReservationRow',
      Dns: 'DnsRow',
      NameServer: 'NameServerFacts',
      Docker: 'DockerFacts',
      Http: 'HttpFacts',
      Target: 'TargetRow',
    };
    for (const [schema, type] of Object.entries(rows)) {
      expect([schema, Object.keys(api.components.schemas[schema]?.properties ?? {})]).toEqual([schema, fieldsOf(type)]);
    }
    const flatten = (schema: Schema): string[] =>
      Object.entries(schema.properties ?? {}).flatMap(([name, value]) => [name, ...flatten(value)]);
    const { Status, Network, Problem } = api.components.schemas;
    const described = new Set([Status, Network, Problem].flatMap((schema) => flatten(schema!)));
    expect(fieldsOf('Status').filter((field) => !described.has(field))).toEqual([]);
  });

  test('every reference leads to a schema', () => {
    const names = [...read('docs/openapi.json').matchAll(/"#\/components\/schemas\/(\w+)"/g)].map((match) => match[1]!);
    expect(names.filter((name) => !(name in api.components.schemas))).toEqual([]);
  });
});
