import { ConsulError, ConsulUnreachable } from '@strangler/platform/consul/errors.ts';
import { FlagDocumentError } from '@strangler/platform/contracts/flag-document.ts';
import { SliceFileError } from '@strangler/platform/contracts/slice-file.ts';
import { FlagEditRefused } from '@strangler/platform/flags/edit-flag.ts';
import { FlagConflictError } from '@strangler/platform/flags/store.ts';
import { CommitOutcomeUnknown } from '@strangler/platform/mysql/transaction.ts';
import { TopologyMismatch } from '@strangler/platform/outbox/declare.ts';
import { OutboxSchemaError } from '@strangler/platform/outbox/schema.ts';
import { RabbitAway } from '@strangler/platform/rabbit.ts';
import { ZodError } from 'zod';
import { ParkingFull } from '../engine/apply/parked.ts';
import { RowShapeError } from '../engine/apply/row-shape.ts';
import { isServerAway } from '../engine/apply/sql-errors.ts';
import { CheckpointMoved } from '../engine/backfill/checkpoint.ts';
import { RowTooLarge } from '../engine/backfill/read-chunk.ts';
import { BackfillRefused } from '../engine/backfill/write-chunk.ts';
import { EpochError } from '../engine/capture/capture-state.ts';
import { TableBusyError } from '../engine/capture/lock-table.ts';
import { CutoverCalledOff, CutoverInterrupted, CutoverRefused } from '../engine/cutover/cutover-work.ts';
import { FenceEpochError, FenceOutcomeUnknown } from '../engine/fence/move-fence.ts';
import { KeysExhaustedError } from '../engine/fence/raise-auto-increment.ts';
import { FloorBusyError } from '../engine/pipe/floor.ts';
import { SliceNotMappable } from '../engine/pipe/open-databases.ts';
import { OperationLockLost, OperationUnderWay } from '../engine/pipe/operation-lock.ts';
import { KeyArgumentError } from '../engine/repair/key-argument.ts';
import { NotCaptured } from '../engine/repair/touch.ts';
import { TransformError } from '../engine/row/load-transform.ts';
import { NoDatabaseError } from '../engine/schema/read-server.ts';
import { NothingRetired } from '../engine/stages/retire-tables.ts';
import { GateShut, StageInterrupted, StageRefused } from '../engine/stages/stage-work.ts';
import { SideUnreachable } from '../http/side.ts';
import { ApiDescriptionError } from '../openapi/place.ts';
import { ScenarioError } from '../parity/scenario.ts';
import { NotReplayable } from '../shadow/replay.ts';
import { exitCodes } from './exit-codes.ts';
import type { Terminal } from './terminal.ts';

/** Errors whose own message says all: what was expected, what was found and what to do. */
const spokenFor: readonly (readonly [exitCode: number, ...classes: (new (...args: never[]) => Error)[]])[] = [
  [
    exitCodes.failed,
    ConsulError,
    FlagDocumentError,
    SliceFileError,
    TopologyMismatch,
    OutboxSchemaError,
    CommitOutcomeUnknown,
    TableBusyError,
    FloorBusyError,
    TransformError,
    RowShapeError,
    RowTooLarge,
    ParkingFull,
    BackfillRefused,
    CutoverCalledOff,
    CutoverInterrupted,
    FenceOutcomeUnknown,
    KeysExhaustedError,
    ApiDescriptionError,
  ],
  [exitCodes.usage, NoDatabaseError, KeyArgumentError, ScenarioError],
  [exitCodes.conflict, FlagConflictError, FenceEpochError, OperationUnderWay, OperationLockLost, CheckpointMoved],
  [exitCodes.unreachable, RabbitAway, SideUnreachable],
  [
    exitCodes.refused,
    SliceNotMappable,
    NotCaptured,
    EpochError,
    GateShut,
    StageRefused,
    CutoverRefused,
    NothingRetired,
    NotReplayable,
  ],
  [exitCodes.interrupted, StageInterrupted],
];

/** Says in one line what failed and returns the exit status; only what nobody foresaw comes with a stack. */
export const reportFailure = (error: unknown, { err }: Pick<Terminal, 'err'>): number => {
  if (error instanceof FlagEditRefused) {
    err(`strangler: ${error.message}`);
    return error.kind === 'senseless' ? exitCodes.usage : exitCodes.refused;
  }
  if (error instanceof ConsulUnreachable) {
    err(`strangler: ${error.message}. Is Consul running there? Name another with --flags consul://host:port.`);
    return exitCodes.unreachable;
  }
  if (error instanceof ZodError) {
    err(`strangler: ${error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')}`);
    return exitCodes.usage;
  }
  for (const [exitCode, ...classes] of spokenFor) {
    if (!classes.some((known) => error instanceof known)) continue;
    err(`strangler: ${(error as Error).message}`);
    return exitCode;
  }
  if (isServerAway(error)) {
    err(`strangler: a database went away: ${(error as Error).message}. Run this again when it is back.`);
    return exitCodes.unreachable;
  }
  const { sqlMessage } = Object(error) as { sqlMessage?: unknown };
  if (typeof sqlMessage === 'string') {
    err(`strangler: a database refuses: ${sqlMessage}`);
    return exitCodes.failed;
  }
  err(`strangler: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return exitCodes.failed;
};
