/** One picture from the camera, which runs only while this is open. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { addPictures } from '../model/pictures';
import { explainCamera } from '../words/explain-error';

export function Camera({ onClose }: { onClose: () => void }) {
  const video = useRef<HTMLVideoElement>(null);
  const [trouble, setTrouble] = useState<string>();
  const [isLive, setLive] = useState(false);
  const shutter = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (isLive) shutter.current?.focus();
  }, [isLive]);
  useEffect(() => {
    let stream: MediaStream | undefined;
    let isClosed = false;
    const end = () => {
      for (const track of stream?.getTracks() ?? []) track.stop();
    };
    const start = async () => {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
      if (isClosed) return end();
      video.current!.srcObject = stream;
      await video.current!.play();
      setLive(true);
    };
    start().catch((error) => setTrouble(explainCamera(error)));
    return () => {
      isClosed = true;
      end();
    };
  }, []);

  async function shoot(): Promise<void> {
    const { videoWidth: width, videoHeight: height } = video.current!;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext('2d')!.drawImage(video.current!, 0, 0);
    const blob = await canvas.convertToBlob({ type: 'image/jpeg', quality: 0.92 });
    addPictures([new File([blob], 'picture from the camera', { type: 'image/jpeg' })]);
    onClose();
  }

  return (
    <section
      class="camera"
      aria-label="Camera"
      onKeyDown={({ key }) => {
        if (key === 'Escape') onClose();
      }}
    >
      {trouble ? <p role="alert">{trouble}</p> : <video ref={video} muted playsInline />}
      <div class="row">
        {!trouble && (
          <button
            ref={shutter}
            type="button"
            class="primary"
            disabled={!isLive}
            onClick={() => void shoot()}
          >
            Take the picture
          </button>
        )}
        <button type="button" onClick={onClose}>
          Close
        </button>
      </div>
    </section>
  );
}
