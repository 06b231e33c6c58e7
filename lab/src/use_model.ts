import React from 'react';

import { SessionModel } from './session_model';

const TICK_MS = 5_000;

/** Renders a component again when the session changes, and now and then for the time that is left. */
export function useModel(model: SessionModel): void {
  const [, update] = React.useReducer((count: number) => count + 1, 0);
  React.useEffect(() => {
    model.changed.connect(update);
    const timer = window.setInterval(update, TICK_MS);
    return () => {
      model.changed.disconnect(update);
      window.clearInterval(timer);
    };
  }, [model]);
}
