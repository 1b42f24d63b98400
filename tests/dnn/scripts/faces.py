# Net: detector
import cv2
import numpy as np

image = np.random.RandomState(1).randint(0, 256, (48, 64, 3)).astype(np.uint8)
height, width = image.shape[:2]
net = cv2.dnn.readNet("net.caffemodel", "net.prototxt")
net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
blob = cv2.dnn.blobFromImage(cv2.resize(image, (16, 16)), 1 / 100, (16, 16), (104.0, 177.0, 123.0))
net.setInput(blob)
detections = net.forward()
boxes, scores = [], []
for i in range(detections.shape[2]):
    confidence = detections[0, 0, i, 2]
    if confidence < 0.25:
        continue
    x1, y1, x2, y2 = detections[0, 0, i, 3:7] * np.array([width, height, width, height])
    boxes.append([int(x1), int(y1), int(x2 - x1), int(y2 - y1)])
    scores.append(float(confidence))
for index in np.array(cv2.dnn.NMSBoxes(boxes, scores, 0.25, 0.4)).flatten():
    x, y, w, h = boxes[index]
    cv2.rectangle(image, (x, y), (x + w, y + h), (0, 0, 255), 2)
result = detections
