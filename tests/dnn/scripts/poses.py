# Net: two stages
import cv2
import numpy as np

net = cv2.dnn.readNetFromCaffe("net.prototxt", "net.caffemodel")
frame = np.random.RandomState(5).randint(0, 256, (46, 62, 3)).astype(np.uint8)
net.setInput(cv2.dnn.blobFromImage(frame, 1.0 / 255, (31, 23), (0, 0, 0), swapRB=False, crop=False))
out = net.forward()
points = []
for part in range(out.shape[1]):
    _, probability, _, point = cv2.minMaxLoc(out[0, part, :, :])
    x, y = (frame.shape[1] * point[0]) / out.shape[3], (frame.shape[0] * point[1]) / out.shape[2]
    points.append((int(x), int(y)) if probability > 0.1 else None)
milliseconds = net.getPerfProfile()[0] * 1000 / cv2.getTickFrequency()
print(points, f"{milliseconds:.2f} ms")
result = out
