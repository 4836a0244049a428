import type { Engine } from '../addresses.ts';
import type { StackHome } from '../home/paths.ts';
import type { StackSettings } from '../home/settings.ts';
import type { PackageSet } from '../packages/sets.ts';
import type { Command } from '../process/run.ts';
import type { Installation, MachineProgram } from '../source/installation.ts';

/** All that is needed to run one private server. */
export type ServerPlan = {
  instance: string;
  folder: string;
  installation: Installation;
  /** By the names in `ServerDefinition.ports`. */
  ports: Record<string, number>;
  secret: string;
  settings: StackSettings;
  home: StackHome;
  signal?: AbortSignal | undefined;
};

/** Where a server is reached: what a probe needs, whoever runs the server. */
export type ServerAddress = { url: string; managementUrl?: string };

/** What differs between the servers. */
export type ServerDefinition = {
  engine?: Engine;
  /** For people: `MySQL`. */
  title: string;
  packages: PackageSet;
  machine: MachineProgram;
  /** The ports it listens on; `main` is the one that programs use. */
  ports: readonly string[];
  /** How long it may take to end by itself. */
  stopWithinMs: number;
  /** Makes data folder and configuration where they are missing. Safe to repeat. */
  prepare(plan: ServerPlan): Promise<void>;
  /** What to start, in this order; all must run for the server to be healthy. */
  commands(plan: ServerPlan): { role: string; command: Command; waitForPort?: number }[];
  address(ports: Record<string, number>, secret: string): ServerAddress;
  /** Asks a real question; rejects while the server cannot answer it. Bounded in time by itself. */
  probe(address: ServerAddress): Promise<void>;
};

/** How long one attempt of a probe may take. */
export const PROBE_TIMEOUT_MS = 5_000;
