import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type ServerName, type ServerRecord, type StackFile, serverNames } from '../addresses.ts';
import { type StackHome, writeWhole } from '../home/paths.ts';

/** The record of a server; undefined when there is none, or when it is not readable as one. */
export function readRecord(home: StackHome, instance: string, name: ServerName): ServerRecord | undefined {
  return readJson<ServerRecord>(join(home.server(instance, name), 'server.json'));
}

export function writeRecord(home: StackHome, instance: string, record: ServerRecord): void {
  writeWhole(join(home.server(instance, record.name), 'server.json'), `${JSON.stringify(record, undefined, 2)}\n`);
}

/** What `up` has left for other programs to find; undefined when the instance is not up. */
export function readStackFile(home: StackHome, instance: string): StackFile | undefined {
  return readJson<StackFile>(stackFilePath(home, instance));
}

export function writeStackFile(home: StackHome, file: StackFile): void {
  writeWhole(stackFilePath(home, file.instance), `${JSON.stringify(file, undefined, 2)}\n`);
}

export function removeStackFile(home: StackHome, instance: string): void {
  rmSync(stackFilePath(home, instance), { force: true });
}

export function instanceNames(home: StackHome): string[] {
  if (!existsSync(home.run)) return [];
  return readdirSync(home.run, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/** Ports that servers of any instance have been given, running or not. */
export function recordedPorts(home: StackHome, except?: { instance: string; name: ServerName }): Set<number> {
  const ports = new Set<number>();
  for (const instance of instanceNames(home)) {
    for (const name of serverNames) {
      if (instance === except?.instance && name === except.name) continue;
      const record = readRecord(home, instance, name);
      for (const port of Object.values(record?.ports ?? {})) ports.add(port);
    }
  }
  return ports;
}

const stackFilePath = (home: StackHome, instance: string): string => join(home.instance(instance), 'stack.json');

function readJson<T>(file: string): T | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return undefined;
  }
}
