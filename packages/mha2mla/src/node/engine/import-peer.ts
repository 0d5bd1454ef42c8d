import { JobError } from '../../jobs/job-error';

/** Import what only spread runs need. @throws JobError `engine` that says what to install. */
export async function importPeer<T>(load: () => Promise<T>, install: string): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    throw new JobError(
      'engine',
      `This needs a package that is not installed: npm install ${install}.`,
      {
        cause,
      },
    );
  }
}
