import { loading, panes } from '../model/panes';
import { announced } from '../words/announce';
import { Chat } from './chat';
import { LoadingBar } from './loading-bar';
import { Setup } from './setup';

const REPOSITORY = 'https://github.com/mha2mla/mha2mla';

export function App() {
  const isChat = panes.value.length > 0;
  return (
    <div class={isChat ? 'page page-chat' : 'page'}>
      <header class="masthead">
        <span class="wordmark">
          <svg viewBox="0 0 18 14" aria-hidden="true">
            <rect class="mark-faint" width="18" height="3.5" rx="1.75" />
            <rect class="mark-faint" y="5.25" width="18" height="3.5" rx="1.75" />
            <rect class="mark" y="10.5" width="5" height="3.5" rx="1.75" />
          </svg>
          mha2mla
        </span>
        <a href={REPOSITORY}>Source and method</a>
      </header>
      <main>
        {isChat ? <Chat /> : loading.value ? <LoadingBar {...loading.value} /> : <Setup />}
      </main>
      <div class="visually-hidden" role="status">
        {announced.value}
      </div>
    </div>
  );
}
